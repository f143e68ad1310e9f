// Adds a note to an ELF program, and removes parts that are not loaded when it runs (symbols, debugging data, section headers).

const PT_LOAD = 1
const PT_NOTE = 4
/** Offsets in the header and in an entry of the program header table, both of 64 bits, little-endian (elf(5)). */
const HEADER = { phoff: 32, shoff: 40, phentsize: 54, phnum: 56, shnum: 60, shstrndx: 62 }
const ENTRY = { offset: 8, vaddr: 16, paddr: 24, filesz: 32, memsz: 40 }
const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1])
/** Loaders read notes in units of this size. */
const NOTE_ALIGN = 4
/** The notes also begin at this alignment in memory, which is larger than required. */
const START_ALIGN = 16

type Segment = { at: number; type: number; offset: number; vaddr: number; filesz: number; memsz: number }

/**
 * The program's last segment grows by the zeros with which its memory begins, and by all notes: its own and the new one. So no
 * header has to be moved, and no loaded byte gets another address.
 */
export function withNote(program: Buffer, name: string, content: Buffer): Buffer {
  if (!program.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('no ELF program of 64 bits, little-endian')
  const segments = segmentsOf(program)
  const last = segments.filter(({ type }) => type === PT_LOAD).at(-1)
  const [note, ...otherNotes] = segments.filter(({ type }) => type === PT_NOTE)
  if (last === undefined || note === undefined || otherNotes.length > 0)
    throw new Error('its segments are not as expected')
  if (segments.some(({ offset, filesz }) => offset + filesz > last.offset + last.filesz)) {
    throw new Error('its last loaded segment is not the last in the file')
  }
  const notes = Buffer.concat([program.subarray(note.offset, note.offset + note.filesz), noteOf(name, content)])
  const start = roundUp(last.vaddr + last.memsz, START_ALIGN) - last.vaddr
  const kept = program.subarray(0, last.offset + last.filesz)
  const made = Buffer.concat([kept, Buffer.alloc(start - last.filesz), notes])
  setFields(made, last.at, { filesz: start + notes.length, memsz: start + notes.length })
  const [offset, vaddr] = [last.offset + start, last.vaddr + start]
  setFields(made, note.at, { offset, vaddr, paddr: vaddr, filesz: notes.length, memsz: notes.length })
  made.writeBigUInt64LE(0n, HEADER.shoff)
  made.writeUInt16LE(0, HEADER.shnum)
  made.writeUInt16LE(0, HEADER.shstrndx)
  return made
}

function segmentsOf(program: Buffer): Segment[] {
  const at = (index: number) => numberAt(program, HEADER.phoff) + index * program.readUInt16LE(HEADER.phentsize)
  return Array.from({ length: program.readUInt16LE(HEADER.phnum) }, (_, index) => ({
    at: at(index),
    type: program.readUInt32LE(at(index)),
    offset: numberAt(program, at(index) + ENTRY.offset),
    vaddr: numberAt(program, at(index) + ENTRY.vaddr),
    filesz: numberAt(program, at(index) + ENTRY.filesz),
    memsz: numberAt(program, at(index) + ENTRY.memsz),
  }))
}

function numberAt(program: Buffer, offset: number): number {
  return Number(program.readBigUInt64LE(offset))
}

function setFields(program: Buffer, at: number, fields: Partial<Record<keyof typeof ENTRY, number>>): void {
  for (const [field, value] of Object.entries(fields)) {
    program.writeBigUInt64LE(BigInt(value), at + ENTRY[field as keyof typeof ENTRY])
  }
}

/** Length of the name with its zero, length of the content, type 0; then both, padded. */
function noteOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(12)
  header.writeUInt32LE(name.length + 1, 0)
  header.writeUInt32LE(content.length, 4)
  return Buffer.concat([header, padded(Buffer.from(`${name}\0`)), padded(content)])
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(roundUp(bytes.length, NOTE_ALIGN) - bytes.length)])
}

function roundUp(value: number, grain: number): number {
  return Math.ceil(value / grain) * grain
}
