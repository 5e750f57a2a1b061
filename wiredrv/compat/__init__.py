"""What lets code that was written for PyMongo use this driver.

``objects`` and ``listeners`` accept PyMongo's objects by their shape, and import nothing of it. ``pymongo`` makes this
driver's errors PyMongo's too, and is the only module that imports it: when an application imports that module by name.
"""
