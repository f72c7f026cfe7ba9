"""The store on MongoDB, and `driver`, the one module that imports the MongoDB driver."""
