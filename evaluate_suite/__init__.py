"""What a radiology vision-language model knows: one task a file, over any dual encoder."""
