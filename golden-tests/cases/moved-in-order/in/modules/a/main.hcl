locals { nothing = true }
