"""An ERP and a fleet of devices, written like any outside client: JSON over Kafka, nothing of ours imported.

They know the contracts page only, so they show how to connect and prove that the page is enough to do so.
"""
