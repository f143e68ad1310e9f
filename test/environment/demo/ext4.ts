// An ext4 file system in the file of a disk: made from a folder, changed, checked, without mounting it and without root.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { noise, prose, writePieces } from '../storage/content.ts'
import { DATABASE, TEXT_BYTES, textName } from './tree.ts'

const run = promisify(execFile)
const MIB = 2 ** 20
const PROGRAMS = ['mke2fs', 'debugfs', 'e2fsck'] as const
// Where distributions put these programs; the folders are often not on a user's PATH.
const PLACES = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin']

/** Throws an error that names the package when one of the programs is missing. */
export function requirePrograms(): void {
  const missing = PROGRAMS.filter((program) => find(program) === undefined)
  if (missing.length === 0) return
  throw new Error(`${missing.join(', ')} not found: install the package e2fsprogs (apt-get install e2fsprogs)`)
}

/** Fills the whole file; ids and times are fixed, so that the same tree gives the same bytes. */
export async function makeFileSystem(file: string, tree: string): Promise<void> {
  const ids = 'hash_seed=5d6f3a58-6d3c-4b0e-9a44-6c0c1d7b8e21,lazy_itable_init=1,lazy_journal_init=1,nodiscard'
  const uuid = '0b0f1d52-33a6-4cf1-8b1a-9d6f6c1f2a11'
  const args = ['-q', '-F', '-t', 'ext4', '-m', '0', '-L', 'orders', '-U', uuid, '-E', ids, '-d', tree, file]
  await run(find('mke2fs')!, args, { env: { ...process.env, E2FSPROGS_FAKE_TIME: '1700000000' } })
}

/** Rejects with the message of e2fsck when the file system is not clean; changes nothing. */
export async function checkFileSystem(file: string): Promise<void> {
  await run(find('e2fsck')!, ['-fn', file], { maxBuffer: 16 * MIB }).catch((error) => {
    throw new Error(`e2fsck -fn ${file}:\n${error.stdout}`)
  })
}

/**
 * Changes about `bytes`: half of it is overwritten in place inside of the database, half is log files that are replaced by
 * others. `scratch` is a folder for the new files.
 */
export async function changeFileSystem(file: string, bytes: number, seed: string, scratch: string): Promise<void> {
  await overwriteDatabase(file, bytes / 2, seed)
  const commands: string[] = []
  for (let n = 0; n < bytes / 2 / TEXT_BYTES; n++) {
    const local = path.join(scratch, `changed-${n}`)
    await writeFile(local, prose(`${seed} changed ${n}`, TEXT_BYTES))
    commands.push(`rm /${textName(n)}`, `write ${local} /${textName(n)}`)
  }
  const script = path.join(scratch, 'debugfs.commands')
  await writeFile(script, `${commands.join('\n')}\n`)
  const { stderr } = await run(find('debugfs')!, ['-w', '-f', script, file])
  // This program always exits with 0; the first line of its stderr is its version.
  const problems = stderr.split('\n').slice(1).join('\n').trim()
  if (problems !== '') throw new Error(`debugfs: ${problems}`)
  await rm(script)
}

/** Where the data of a file lies in the file system, block by block in the file's order. */
async function blocksOf(file: string, name: string): Promise<{ blockBytes: number; blocks: number[] }> {
  const debugfs = find('debugfs')!
  const [leaves, head] = await Promise.all([
    run(debugfs, ['-R', `dump_extents -l /${name}`, file], { maxBuffer: 64 * MIB }),
    run(debugfs, ['-R', 'stats -h', file]),
  ])
  const blockBytes = Number(/^Block size:\s+(\d+)$/m.exec(head.stdout)?.[1])
  // Level, entry, logical first and last, physical first and last, length.
  const extents = leaves.stdout.matchAll(/^ *\d+\/ *\d+ +\d+\/ *\d+ +\d+ - +\d+ +(\d+) - +(\d+)/gm)
  const blocks = [...extents].flatMap(([, first, last]) => range(Number(first), Number(last)))
  if (blocks.length === 0) throw new Error(`debugfs names no extent of /${name}`)
  return { blockBytes, blocks }
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

async function overwriteDatabase(file: string, bytes: number, seed: string): Promise<void> {
  const { blockBytes, blocks } = await blocksOf(file, DATABASE)
  // Two runs of blocks, because a nightly batch changes data that lies together.
  const runBlocks = Math.floor(bytes / 2 / blockBytes)
  const starts = [Math.floor(blocks.length * 0.2), Math.floor(blocks.length * 0.7)]
  const touched = starts.flatMap((start) => blocks.slice(start, start + runBlocks))
  const data = noise(`${seed} rows`, touched.length * blockBytes)
  await writePieces(
    file,
    touched.map((block, index) => ({
      offsetBytes: block * blockBytes,
      data: data.subarray(index * blockBytes, (index + 1) * blockBytes),
    })),
  )
}

function find(program: string): string | undefined {
  return PLACES.map((place) => path.join(place, program)).find((file) => existsSync(file))
}
