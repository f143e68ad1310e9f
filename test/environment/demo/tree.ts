// Files for the demo's volume: text, binaries of this machine, data that does not shrink, a database, holes, small files.
// Generated files are the same for the same seed; the binaries are those of the machine.

import { copyFile, mkdir, open, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { noise, prose } from '../storage/content.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** As much as fits beside the other files. */
const BINARIES_LIMIT_BYTES = 360 * MIB
const DATABASE_BYTES = 96 * MIB
export const DATABASE = 'db/pages.db'
/** Names below `text/`, of that many bytes each. */
const TEXTS = 60
export const TEXT_BYTES = 1.5 * MIB

type TreeFacts = { files: number; bytes: number }

export async function makeTree(folder: string, seed: string, binaries: string[]): Promise<TreeFacts> {
  const facts = { files: 0, bytes: 0 }
  const put = async (name: string, data: Uint8Array) => {
    const file = path.join(folder, name)
    await mkdir(path.dirname(file), { recursive: true })
    await writeFile(file, data)
    facts.files++
    facts.bytes += data.length
  }
  for (let n = 0; n < TEXTS; n++) await put(textName(n), prose(`${seed} text ${n}`, TEXT_BYTES))
  for (let n = 0; n < 40; n++) await put(`photos/${n}.jpg`, noise(`${seed} photo ${n}`, (2 + (n % 4)) * MIB))
  for (let n = 0; n < 1500; n++) await put(`mail/${n % 30}/${n}.eml`, prose(`${seed} mail ${n}`, (1 + (n % 12)) * KIB))
  await put(DATABASE, database(seed))
  await makeHoles(folder, seed, facts)
  await copyBinaries(folder, binaries, facts)
  await symlink('../text/000.log', path.join(folder, 'mail/latest'))
  return facts
}

export function textName(n: number): string {
  return `text/${String(n).padStart(3, '0')}.log`
}

// Pages of 8 KiB, each half rows and half padding, as databases leave them. The padding is no zeros: mke2fs would take
// those for holes.
function database(seed: string): Buffer {
  const rows = noise(`${seed} database`, DATABASE_BYTES)
  for (let page = 0; page < DATABASE_BYTES; page += 8 * KIB) rows.fill(0x20, page + 4 * KIB, page + 8 * KIB)
  return rows
}

async function makeHoles(folder: string, seed: string, facts: TreeFacts): Promise<void> {
  await mkdir(path.join(folder, 'images'), { recursive: true })
  for (let n = 0; n < 3; n++) {
    const file = path.join(folder, `images/${n}.img`)
    await writeFile(file, '')
    await truncate(file, 2 ** 30)
    const handle = await open(file, 'r+')
    for (let at = 0; at < 8; at++) await handle.write(noise(`${seed} image ${n} ${at}`, MIB), 0, MIB, at * 128 * MIB)
    await handle.close()
    facts.files++
    facts.bytes += 8 * MIB
  }
}

async function copyBinaries(folder: string, binaries: string[], facts: TreeFacts): Promise<void> {
  await mkdir(path.join(folder, 'bin'), { recursive: true })
  let copied = 0
  for (const binary of binaries) {
    const { size } = await stat(binary)
    if (copied + size > BINARIES_LIMIT_BYTES) continue
    await copyFile(binary, path.join(folder, 'bin', path.basename(binary)))
    copied += size
    facts.files++
    facts.bytes += size
  }
}
