// How much memory a process tree takes at its worst, from /proc. Figures are PSS: a page that n processes share counts 1/n
// in each, so a sum over a tree counts it once, where a sum of RSS would count the shared parts of Node again and again.

import { readdirSync, readFileSync } from 'node:fs'

type MemoryPeak = { bytes: number; processes: number; samples: number }

export type ProcessTree = ReadonlyMap<number, readonly number[]>

/** Parent to children, of all processes of the machine. */
export function processTree(): ProcessTree {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const parent = parentOf(entry)
    if (parent === undefined) continue
    const known = children.get(parent)
    if (known === undefined) children.set(parent, [Number(entry)])
    else known.push(Number(entry))
  }
  return children
}

/** Everything below `rootPid`, without the root itself. */
export function descendants(rootPid: number, tree: ProcessTree = processTree()): number[] {
  const found: number[] = []
  const open = [rootPid]
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    for (const child of tree.get(pid) ?? []) {
      found.push(child)
      open.push(child)
    }
  }
  return found
}

/** PSS of the tree below `rootPid` now. */
function treeBytes(rootPid: number): { bytes: number; processes: number } {
  const pids = descendants(rootPid)
  return { bytes: pids.reduce((sum, pid) => sum + pssBytes(pid), 0), processes: pids.length }
}

/** The command line of a process, or an empty text if it is gone. */
export function argumentsOf(pid: number): string[] {
  return (read(`/proc/${pid}/cmdline`) ?? '').split('\0')
}

function parentOf(pid: string): number | undefined {
  const stat = read(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

function pssBytes(pid: number): number {
  const kibibytes = /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1]
  return kibibytes === undefined ? 0 : Number(kibibytes) * 1024
}

// A process may end between being listed and being read.
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return undefined
  }
}

/** Samples trees while it runs; a new root may join at any time under a known name (a function's next instance). */
export class MemorySampler {
  private readonly peaks = new Map<string, MemoryPeak>()
  private readonly timer: NodeJS.Timeout

  constructor(rootsNow: () => Map<string, number[]>, everyMs = 100) {
    this.timer = setInterval(() => this.sample(rootsNow()), everyMs)
    this.timer.unref()
  }

  private sample(roots: Map<string, number[]>): void {
    for (const [name, pids] of roots) {
      for (const pid of pids) {
        const { bytes, processes } = treeBytes(pid)
        const peak = this.peaks.get(name) ?? { bytes: 0, processes: 0, samples: 0 }
        peak.samples++
        if (bytes > peak.bytes) Object.assign(peak, { bytes, processes })
        this.peaks.set(name, peak)
      }
    }
  }

  /** Highest sum seen over any one tree of that name. */
  peak(name: string): MemoryPeak {
    return this.peaks.get(name) ?? { bytes: 0, processes: 0, samples: 0 }
  }

  stop(): void {
    clearInterval(this.timer)
  }
}
