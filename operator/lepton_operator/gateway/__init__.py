"""The front door of all models: which worker a call goes to, and which calls wait."""
