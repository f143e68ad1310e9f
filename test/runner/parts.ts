// What each level of tests consists of: its processes, how long each may take, and how much of the machine it fills.

import { existsSync, readdirSync } from 'node:fs'

/** A part is one process. */
export type Part = {
  name: string
  command: string[]
  /** For the whole part, ms; what still runs then is killed with all that it started. */
  limitMs: number
  /** 1 for a file that mostly waits for its servers, 2 for one that computes all the time. */
  load: number
  /** What it makes is used by other parts, which wait for it. */
  builds?: true
}

const MINUTE_MS = 60_000
/** One file; most need a second, some do real key derivation, and a machine may be busy. */
const FILE_MS = 4 * MINUTE_MS
const WAITS = 1
/** A process with one thread fills one core; were it counted as two, it would wait until all others are done, and leave a core idle. */
const ONE_CORE = 1
const COMPUTES = 2

const CHECKS: [name: string, command: string[]][] = [
  ['format and lint', ['biome', 'check', '--error-on-warnings', '.']],
  ['promises and switches', ['oxlint', '--type-aware', '--deny-warnings']],
  ['types', ['tsc', '--noEmit']],
  ['unused exports and dependencies', ['knip', '--no-progress', '--treat-config-hints-as-errors']],
  ['generated types are up to date', ['node', 'hack/generate.ts', '--check']],
  ['tables of rights are up to date', ['node', 'hack/rights-table.ts', '--check']],
]

const BUILDS: [name: string, command: string[]][] = [
  ['bundles', ['node', 'hack/build.ts']],
  ["Velero's plugin", ['node', 'hack/velero-plugin.ts']],
]

/** Files of unit tests that compute for a second or more each: hostile inputs, orders of calls, bounds. `make check` leaves them to `make unit`. */
const COSTLY = [
  '(engine|cli-repository|queue|sweep|maintenance|mutants|bounded-work|format-collection-model|cluster-kube|cli-folder)[^/]*',
  'velero/host-[^/]*',
].join('|')

/** These compute for most of their time. */
const BUSY = /\/(sweep-load|sweep-megabytes|crash|memory|velero-plugin-file|mover-access)\.test\.ts$/

/** @throws Error for a level that there is not. */
export function partsOf(level: string): Part[] {
  if (level === 'checks') return checks()
  if (level === 'quick') return oneProcess('test/unit', 3 * MINUTE_MS, `^(?!${COSTLY})`)
  if (level === 'unit') return oneProcess('test/unit', 10 * MINUTE_MS)
  if (level === 'simulation') return oneProcess('test/simulation', 15 * MINUTE_MS)
  if (level === 'contract') return processPerFile('test/contract', 5 * MINUTE_MS)
  if (level === 'system') return processPerFile('test/system', 15 * MINUTE_MS)
  if (level === 'nightly') return processPerFile('test/nightly', 25 * MINUTE_MS)
  if (level.includes('/')) return processPerFile(level.replace(/\/$/, ''), 15 * MINUTE_MS)
  throw new Error(`no level '${level}': checks, quick, unit, contract, simulation, system, nightly or a folder`)
}

function checks(): Part[] {
  const limits = { limitMs: 3 * MINUTE_MS, load: WAITS }
  return [
    ...BUILDS.map(([name, command]) => ({ name, command, ...limits, builds: true as const })),
    ...CHECKS.map(([name, command]) => ({ name, command, ...limits })),
  ]
}

function oneProcess(dir: string, limitMs: number, pattern = ''): Part[] {
  return [{ name: dir, command: ['node', 'test/run.ts', dir, pattern, String(FILE_MS)], limitMs, load: ONE_CORE }]
}

/** Each file in its own process: they start servers, and a crash of one must not take the others along. */
function processPerFile(dir: string, limitMs: number): Part[] {
  const names = existsSync(dir) ? readdirSync(dir, { recursive: true, encoding: 'utf8' }) : []
  const files = names.filter((name) => name.endsWith('.test.ts')).sort()
  if (files.length === 0) return oneProcess(dir, limitMs) // which says that there is no file, and fails
  return files.map((file) => ({
    name: `${dir}/${file}`,
    command: ['node', 'test/run.ts', dir, `^${RegExp.escape(file)}$`, String(limitMs)],
    limitMs: limitMs + 10_000,
    load: BUSY.test(`/${file}`) ? COMPUTES : WAITS,
  }))
}
