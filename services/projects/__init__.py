"""Projects: the orders as this system keeps them, their activation saga, and the answers to the ERP.

Owns the projects and their sagas. Consumes `erp.orders` and `projects.commands`, the answers of the saga's
participants and the progress of work orders; produces saga commands, `projects.events` and `erp.order-status`.
"""
