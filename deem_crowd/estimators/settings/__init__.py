"""The parameters of both classes: how they are declared, what each may be, and which model they ask for."""
