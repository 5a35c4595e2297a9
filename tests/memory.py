"""How much memory a program of its own has needed: text to begin it with."""

MOST_MEMORY = """
def most_memory() -> int:
    with open("/proc/self/status") as status:  # ru_maxrss would count what the parent held when it forked
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""
"""`most_memory()`: kB, the most that was resident since the program began."""
