// Finds the process at the other end of a loopback connection in the kernel's tables, so the product needs no code for it.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { descendants, processTree } from '../process/memory.ts'

/** A program of the environment: the pid of its leash, and its name. */
export type Known = { label: string; leashPid: number }
export type Caller = {
  /** `upload`, `upload mover`, `adapter-dormouse`; `?` when the process does not belong to the environment, or is gone. */
  label: string
  pid: number | undefined
}

const NOBODY: Caller = { label: '?', pid: undefined }
const LOOKS = 3

/** The caller of the connection from `fromPort` to `toPort`, searched among the programs `known`. */
export function callerOf(fromPort: number, toPort: number, known: Known[]): Caller {
  const inode = inodeOf(fromPort, toPort)
  if (inode === undefined) return NOBODY
  const tree = processTree()
  for (const { label, leashPid } of known) {
    const pid = descendants(leashPid, tree).find((one) => socketsOf(one).has(`socket:[${inode}]`))
    if (pid !== undefined) return { label: isMover(pid) ? `${label} mover` : label, pid }
  }
  return NOBODY
}

/** The movers of a program: child processes that hold the engine and VDDK. */
export function moversOf(leashPid: number): number[] {
  return descendants(leashPid).filter(isMover)
}

export function isAlive(pid: number): boolean {
  return readText(`/proc/${pid}/cmdline`) !== ''
}

function isMover(pid: number): boolean {
  return readText(`/proc/${pid}/cmdline`).includes('mover.mjs')
}

/** Linux may leave entries out of its table when others change while it is read, so this reads it again. */
function inodeOf(fromPort: number, toPort: number): string | undefined {
  for (let look = 1; look <= LOOKS; look++) {
    const found = inodeInTable(fromPort, toPort)
    if (found !== undefined) return found
  }
  return undefined
}

// proc(5): `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode`, addresses in hexadecimal.
function inodeInTable(fromPort: number, toPort: number): string | undefined {
  for (const line of readText('/proc/net/tcp').split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/)
    if (portIn(fields[1]) === fromPort && portIn(fields[2]) === toPort) return fields[9]
  }
  return undefined
}

function portIn(address: string | undefined): number {
  return Number.parseInt(address?.split(':')[1] ?? '', 16)
}

function socketsOf(pid: number): Set<string> {
  const found = new Set<string>()
  for (const fd of listed(`/proc/${pid}/fd`)) {
    const target = linkOf(`/proc/${pid}/fd/${fd}`)
    if (target?.startsWith('socket:') === true) found.add(target)
  }
  return found
}

// A process or descriptor may go between being listed and being read.
function listed(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function linkOf(file: string): string | undefined {
  try {
    return readlinkSync(file)
  } catch {
    return undefined
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return ''
  }
}
