// Finds the process at the other end of a loopback connection in the kernel's tables, so the product needs no code for it.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { descendants, type ProcessTree, processTree } from '../process/memory.ts'

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
  return holderOf(inode, known, recentTree()) ?? holderOf(inode, known, freshTree()) ?? NOBODY
}

function holderOf(inode: string, known: Known[], tree: ProcessTree): Caller | undefined {
  for (const { label, leashPid } of known) {
    const pid = descendants(leashPid, tree).find((one) => holdsSocket(one, inode))
    if (pid !== undefined) return { label: isMover(pid) ? `${label} mover` : label, pid }
  }
  return undefined
}

/** To read all processes of the machine costs more than all else here; who is not in what was read last is looked for again. */
let lastTree: { tree: ProcessTree; readAtMs: number } | undefined
const RECENT_MS = 2000

function recentTree(): ProcessTree {
  if (lastTree === undefined || performance.now() - lastTree.readAtMs > RECENT_MS) return freshTree()
  return lastTree.tree
}

function freshTree(): ProcessTree {
  lastTree = { tree: processTree(), readAtMs: performance.now() }
  return lastTree.tree
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
  const text = readText('/proc/net/tcp')
  const at = text.indexOf(` ${LOOPBACK}:${portText(fromPort)} ${LOOPBACK}:${portText(toPort)} `)
  if (at < 0) return undefined
  return text.slice(at, text.indexOf('\n', at)).trim().split(/\s+/)[8]
}

const LOOPBACK = '0100007F'

function portText(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}

function holdsSocket(pid: number, inode: string): boolean {
  return listed(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`)
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
