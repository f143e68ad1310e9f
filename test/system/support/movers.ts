// The movers of a function: the child processes that move its data.

import { readFileSync } from 'node:fs'
import type { Environment } from '#test/environment/environment.ts'
import { descendants } from '#test/environment/process/memory.ts'

export function moverPids(environment: Environment, name: 'upload' | 'download'): number[] {
  const pids = environment.activator.instancesOf(name).flatMap(({ program }) => descendants(program.leashPid))
  return pids.filter((pid) => commandOf(pid).includes('mover.mjs'))
}

/** '' when the process is gone. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}

export function isAlive(pid: number): boolean {
  return commandOf(pid) !== ''
}
