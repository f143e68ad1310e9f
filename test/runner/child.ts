// One part as a child process, in a process group of its own, so that nothing that it started outlives it.

import { spawn } from 'node:child_process'
import path from 'node:path'
import type { Part } from './parts.ts'

/** Each file of tests loads hundreds of modules, whose types Node strips: it keeps the result here. */
const COMPILED = path.resolve('build/compile-cache')

type Count = { passed: number; failed: number }
export type Ended = Count & { part: Part; seconds: number; output: string }

export async function runPart(part: Part): Promise<Ended> {
  const startMs = performance.now()
  const { code, output } = await runProcess(part)
  return { part, seconds: (performance.now() - startMs) / 1000, output, ...countOf(output, code) }
}

function runProcess(part: Part): Promise<{ code: number | null; output: string }> {
  const [program = '', ...rest] = part.command
  const env = { ...process.env, NODE_COMPILE_CACHE: COMPILED }
  const child = spawn(program, rest, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env })
  const stop = () => killGroup(child.pid)
  process.once('exit', stop)
  let output = ''
  const keep = (bytes: Buffer) => {
    output += bytes.toString()
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; output: string }>()
  const late = setTimeout(() => {
    output += `\nno end after ${part.limitMs / 1000} s\n`
    stop()
  }, part.limitMs)
  child.on('error', (error) => resolve({ code: null, output: error.message }))
  child.on('exit', stop) // what holds the pipes open goes with it
  child.on('close', (code) => resolve({ code, output }))
  return promise.finally(() => {
    clearTimeout(late)
    process.removeListener('exit', stop)
  })
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
