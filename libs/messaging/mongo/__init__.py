"""The store on MongoDB, and the one module that imports its driver."""
