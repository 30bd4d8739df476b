"""Reads compiled kernels: registers, local memory and machine instructions (SASS)."""

import dataclasses
import re
import subprocess
import tempfile

from triton import knobs

KINDS = {
    "memory": "LDG LDGSTS STG LDS STS LDL STL LDSM STSM LD ST ATOM ATOMG ATOMS RED REDG SHFL",
    "special": "MUFU I2F F2I F2F I2I FRND",
    "float": "FADD FMUL FFMA FADD2 FMUL2 FFMA2 FMNMX FMNMX3 FSETP FSEL FSET FCHK FHADD FHFMA "
    "HADD2 HMUL2 HFMA2 HMNMX2 HSETP2 HSET2 DADD DMUL DFMA DSETP DMNMX F2FP I2FP",
    "multiply": "IMAD IMUL IDP",
    "other": "S2R S2UR R2UR LDC LDCU CS2R BRA EXIT BSSY BSYNC BAR NOP WARPSYNC CALL RET DEPBAR "
    "LDGDEPBAR VOTE VOTEU ERRBAR MEMBAR BREAK YIELD CCTL",
}
"""{kind: names of its instructions}.

"multiply" is integers, in lanes of their own. "other" is control flow, constants, and what a warp
computes once, not once for each lane; names that start with U belong to it as well. All that have
no kind here are "integer".
"""
_KIND = {name: kind for kind, names in KINDS.items() for name in names.split()}
_LINE = re.compile(
    r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*);", re.MULTILINE
)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction of a kernel.

    Attributes:
        address: its address in bytes.
        opcode: its name with all modifiers, for example "LDG.E.128".
        target: address that it may jump to, or None.
    """

    address: int
    opcode: str
    target: int | None

    @property
    def name(self) -> str:
        """Name without modifiers."""
        return self.opcode.split(".")[0]

    @property
    def kind(self) -> str:
        """A key of ``KINDS``, or "integer"."""
        return _KIND.get(self.name, "other" if self.name.startswith("U") else "integer")

    @property
    def width(self) -> int:
        """Bytes that a lane reads or writes, for an instruction of the kind "memory"."""
        found = re.search(r"\.[US]?(8|16|64|128|256)\b", self.opcode)
        return int(found[1]) // 8 if found else 4


def resources(cubin: bytes) -> dict[str, int]:
    """Returns what a compiled kernel takes of a GPU.

    Args:
        cubin: binary of one kernel.

    Returns:
        "registers" of a thread, and "local": bytes of a thread's local memory, where registers are
        spilled.
    """
    used = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", _cuobjdump("-res-usage", cubin)))
    return {"registers": int(used["REG"]), "local": int(used["STACK"]) + int(used["LOCAL"])}


def disassemble(cubin: bytes) -> list[Instruction]:
    """Returns the instructions of a compiled kernel.

    Args:
        cubin: binary of one kernel.
    """
    return parse(_cuobjdump("-sass", cubin))


def parse(text: str) -> list[Instruction]:
    """Returns the instructions of a kernel, in the order of their addresses.

    What comes behind the last EXIT is left out: padding, and subroutines for rare operands.

    Args:
        text: disassembly of one kernel by cuobjdump.
    """
    instructions = [_instruction(*found) for found in _LINE.findall(text)]
    last = max(n for n, instruction in enumerate(instructions) if instruction.name == "EXIT")
    return instructions[: last + 1]


def loops(instructions: list[Instruction]) -> list[range]:
    """Returns the addresses of each loop: from the target of a backward jump to the jump."""
    return [
        range(i.target, i.address + 1)
        for i in instructions
        if i.target is not None and i.target <= i.address
    ]


def _instruction(address: str, opcode: str, operands: str) -> Instruction:
    jump = re.search(r"\b0x[0-9a-f]+", operands) if opcode.startswith("BRA") else None
    return Instruction(int(address, 16), opcode, int(jump[0], 16) if jump else None)


def _cuobjdump(option: str, cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, option, file.name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
