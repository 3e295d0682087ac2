"""Lists the fibers of a process or a core file in gdb:

    gdb -x tools/fibers-gdb.py -p PID        (gdb) fibers          every thread's fibers
    gdb -x tools/fibers-gdb.py PROGRAM CORE  (gdb) fibers deep     with all their frames

A parked fiber's stack pointer is saved in its struct; frames are found by the chain of frame pointers,
which all flavours keep. Nothing in the process is changed.
"""
import gdb

MAX_FIBERS = 100000
MAX_FRAMES = 64

# Frames in these files say how a fiber waits; the first one above them says for what.
PLUMBING = ("fiber/fiber.c", "fiber/scope.c", "fiber/sync.c", "loop/ready.c", "loop/offload.c", "net/stream.c")


def container(link, type_name, member):
    """The struct of a type whose member is at `link`."""
    struct = gdb.lookup_type("struct " + type_name)
    offset = [field.bitpos // 8 for field in struct.fields() if field.name == member][0]
    address = int(link) - offset
    return gdb.Value(address).cast(struct.pointer()).dereference()


def members(head, type_name, member):
    link = head["next"]
    for _ in range(MAX_FIBERS):
        if int(link) == int(head.address):
            return
        yield container(link, type_name, member)
        link = link.dereference()["next"]


def saved_registers(fiber):
    """Frame pointer and resume address, where fiber_switch has put them."""
    word = gdb.lookup_type("unsigned long")
    frame = fiber["sp"].cast(word.pointer())
    if "aarch64" in gdb.selected_inferior().architecture().name():
        return int(frame[0]), int(frame[1])
    return int(frame[5]), int(frame[6])


def frames(fiber):
    word = gdb.lookup_type("unsigned long").pointer()
    low, high = int(fiber["stack"]["base"]), int(fiber["stack"]["top"])
    pointer, address = saved_registers(fiber)
    for _ in range(MAX_FRAMES):
        yield address
        if not low <= pointer < high - 8:
            return
        frame = gdb.Value(pointer).cast(word)
        following, address = int(frame[0]), int(frame[1])
        if following <= pointer and following != 0:
            return
        pointer = following


def place(address):
    block = gdb.block_for_pc(address)
    while block and not block.function:
        block = block.superblock
    line = gdb.find_pc_line(address - 1)
    name = block.function.name if block else "?"
    return f"{name} at {line.symtab.filename}:{line.line}" if line.symtab else name


def state(sched, fiber):
    if int(sched["current"]) == int(fiber.address):
        return "running"
    if int(fiber["parked"]) == 0:
        return "ready"
    heap, slot = sched["timers"]["heap"], int(fiber["parked"]["timer"]["slot"])
    if slot == 0:
        return "parked"
    left = int(heap[slot - 1]["at_ns"]) - int(sched["now_ns"])
    return f"parked, deadline in {left / 1e9:.3f} s"


class Fibers(gdb.Command):
    """fibers [deep]: the fibers of every thread, where they were spawned and where they wait."""

    def __init__(self):
        super().__init__("fibers", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        chosen = gdb.selected_thread()
        for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
            thread.switch()
            self.show_thread(thread, argument.strip() == "deep")
        if chosen:
            chosen.switch()

    @staticmethod
    def show_thread(thread, deep):
        try:
            sched = gdb.parse_and_eval("'src/fiber/fiber.c'::here")
        except gdb.error:
            return
        if int(sched) == 0:
            return
        sched = sched.dereference()
        print(f"thread {thread.num} ({thread.name}): {int(sched['count'])} fibers")
        for fiber in members(sched["fibers"], "fiber", "all"):
            print(f"  {int(fiber.address):#x} spawned at {fiber['site'].string()}: {state(sched, fiber)}")
            if int(sched["current"]) == int(fiber.address):
                continue
            shown = list(frames(fiber))
            for address in shown if deep else [a for a in shown if not Fibers.plumbing(a)][:1]:
                print(f"      {place(address)}")

    @staticmethod
    def plumbing(address):
        return any(name + ":" in place(address) for name in PLUMBING)


Fibers()
