// The library versions that an ELF program asks its loader for, also in a file without section headers, from which readelf would read
// them. Offsets are those of elf(5), 64 bits, little-endian.

import { readFileSync } from 'node:fs'

const PT_LOAD = 1
const PT_DYNAMIC = 2
const DT_STRTAB = 5
const DT_VERNEED = 0x6ffffffe
const DT_VERNEEDNUM = 0x6fffffff

/** `GLIBC_2.35`, in the order of the file. */
export function versionsNeeded(file: string): string[] {
  const elf = readFileSync(file)
  const at = (offset: number) => Number(elf.readBigUInt64LE(offset))
  const segments = Array.from({ length: elf.readUInt16LE(56) }, (_, index) => at(32) + index * elf.readUInt16LE(54))
  const offsetOf = (address: number) => {
    const segment = segments.find(
      (one) => elf.readUInt32LE(one) === PT_LOAD && address >= at(one + 16) && address < at(one + 16) + at(one + 32),
    )
    if (segment === undefined) throw new Error(`${file}: nothing is loaded at ${address}`)
    return at(segment + 8) + address - at(segment + 16)
  }
  const dynamic = segments.find((one) => elf.readUInt32LE(one) === PT_DYNAMIC) ?? 0
  const entries = Array.from({ length: at(dynamic + 32) / 16 }, (_, index) => at(dynamic + 8) + index * 16)
  const fields = new Map(entries.map((one) => [at(one), at(one + 8)]))
  const names = offsetOf(fields.get(DT_STRTAB) ?? 0)
  const nameAt = (offset: number) => elf.toString('latin1', names + offset, elf.indexOf(0, names + offset))

  const found: string[] = []
  let library = offsetOf(fields.get(DT_VERNEED) ?? 0)
  for (let left = fields.get(DT_VERNEEDNUM) ?? 0; left > 0; left--) {
    let version = library + elf.readUInt32LE(library + 8)
    for (let more = elf.readUInt16LE(library + 2); more > 0; more--) {
      found.push(nameAt(elf.readUInt32LE(version + 8)))
      version += elf.readUInt32LE(version + 12)
    }
    library += elf.readUInt32LE(library + 12)
  }
  return found
}
