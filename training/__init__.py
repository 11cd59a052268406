"""What train.py and finetune.py share: arguments, data, augmentation, loop, checkpoints, card."""
