unsued = 2
