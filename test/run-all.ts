// Runs the levels of tests in order, one line per part, and sums up.
// Usage: node test/run-all.ts [checks|unit|contract|scenario|system|FOLDER]...; the last line is `N passed, N failed`.

import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'

/** A part is one process. `limitMs` is for the whole part; what still runs then is killed with all that it started. */
type Part = { name: string; command: string[]; limitMs: number }
type Count = { passed: number; failed: number }
type Ended = Count & { output: string }

const MINUTE_MS = 60_000

const CHECKS: Part[] = [
  { name: 'format and lint', command: ['biome', 'check', '--error-on-warnings', '.'], limitMs: MINUTE_MS },
  { name: 'promises and switches', command: ['oxlint', '--type-aware', '--deny-warnings'], limitMs: MINUTE_MS },
  { name: 'types', command: ['tsc', '--noEmit'], limitMs: MINUTE_MS },
  { name: 'generated types are up to date', command: ['node', 'hack/generate.ts', '--check'], limitMs: MINUTE_MS },
  { name: 'tables of rights are up to date', command: ['node', 'hack/rights-table.ts', '--check'], limitMs: MINUTE_MS },
  { name: 'bundles', command: ['node', 'hack/build.ts'], limitMs: MINUTE_MS },
  { name: "Velero's plugin", command: ['node', 'hack/velero-plugin.ts'], limitMs: MINUTE_MS },
]

/** One file; most need a second, some do real key derivation, and a machine may be busy. */
const FILE_MS = 4 * MINUTE_MS

function oneProcess(dir: string, limitMs: number): Part[] {
  return [{ name: dir, command: ['node', 'test/run.ts', dir, '', String(FILE_MS)], limitMs }]
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
  }))
}

function partsOf(level: string): Part[] {
  if (level === 'unit') return oneProcess('test/unit', 10 * MINUTE_MS)
  if (level === 'scenario') return oneProcess('test/scenario', 15 * MINUTE_MS)
  if (level === 'contract') return processPerFile('test/contract', 5 * MINUTE_MS)
  if (level === 'system') return processPerFile('test/system', 15 * MINUTE_MS)
  if (level.includes('/')) return processPerFile(level.replace(/\/$/, ''), 15 * MINUTE_MS)
  throw new Error(`no level '${level}': checks, unit, contract, scenario, system or a folder`)
}

/** What a part says of itself in its last line; a command that says nothing counts as one by its exit code. */
function countOf(output: string, code: number | null): Count {
  const said = /(?:^|\n)(\d+) passed, (\d+) failed\s*$/.exec(output)
  const count =
    said === null ? { passed: code === 0 ? 1 : 0, failed: 0 } : { passed: Number(said[1]), failed: Number(said[2]) }
  if (code !== 0 && count.failed === 0) count.failed = 1
  return count
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // nothing of it was left
  }
}

function run(part: Part): Promise<Ended> {
  const [program = '', ...rest] = part.command
  // In a process group of its own, so that nothing that it started outlives it.
  const child = spawn(program, rest, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const stop = () => killGroup(child.pid)
  process.once('exit', stop)
  let output = ''
  const keep = (bytes: Buffer) => {
    output += bytes.toString()
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const { promise, resolve } = Promise.withResolvers<Ended>()
  const late = setTimeout(() => {
    output += `\nno end after ${part.limitMs / 1000} s\n`
    stop()
  }, part.limitMs)
  child.on('error', (error) => resolve({ passed: 0, failed: 1, output: error.message }))
  child.on('exit', stop) // what holds the pipes open goes with it
  child.on('close', (code) => resolve({ ...countOf(output, code), output }))
  return promise.finally(() => {
    clearTimeout(late)
    process.removeListener('exit', stop)
  })
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

async function report(part: Part): Promise<Count> {
  const startMs = performance.now()
  const { passed, failed, output } = await run(part)
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  if (failed > 0) console.log(output.trimEnd())
  console.log(`${failed > 0 ? 'FAIL' : 'ok  '} ${part.name}: ${passed} passed, ${failed} failed (${seconds} s)`)
  return { passed, failed }
}

/** Checks do not meet each other, and run side by side; tests start servers, and take turns. */
async function runLevel(level: string): Promise<Count[]> {
  if (level === 'checks') return await Promise.all(CHECKS.map(report))
  const counts: Count[] = []
  for (const part of partsOf(level)) counts.push(await report(part))
  return counts
}

const levels = process.argv.slice(2)
const wanted = levels.length > 0 ? levels : ['unit', 'contract', 'scenario', 'system']
const counts: Count[] = []
// Unit tests start no server either: beside the checks they take the time that is there anyway.
const together = wanted[0] === 'checks' && wanted[1] === 'unit' ? 2 : 1
counts.push(...(await Promise.all(wanted.slice(0, together).map(runLevel))).flat())
for (const level of wanted.slice(together)) counts.push(...(await runLevel(level)))
const passed = counts.reduce((sum, count) => sum + count.passed, 0)
const failed = counts.reduce((sum, count) => sum + count.failed, 0)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
