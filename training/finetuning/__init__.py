"""What `finetune.py` wires: tasks and their data, classifiers, a seed's loop, the folder that is left."""
