// Kills a part of the environment with -9 and brings it back after a second, as a cluster would.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Environment } from '../environment.ts'
import { descendants } from '../process/memory.ts'
import { isAlive, moversOf } from './callers.ts'

export const VICTIMS = ['function', 'mover', 'adapter', 'router', 's3', 'etcd', 'kube-apiserver'] as const
export type Victim = (typeof VICTIMS)[number]

export const DOWN_MS = 1000

/** Resolves when it is dead; `back` when it is there again. A function comes back with its next request. */
export type Killed = { what: string; back: Promise<void> }

/** `pid`: this very process, and when it is a function all below it. */
export async function killProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    return // it is dead, which is what was wanted
  }
  while (isAlive(pid)) await sleep(2)
}

/** All running instances, or all their movers. Nothing running: nobody is killed, and `what` says so. */
export async function killFunctions(environment: Environment, victim: 'function' | 'mover'): Promise<Killed> {
  const instances = environment.activator.names().flatMap((name) => environment.activator.instancesOf(name))
  const roots = instances.map(({ program }) => program.leashPid)
  const pids = victim === 'mover' ? roots.flatMap(moversOf) : roots.flatMap((root) => descendants(root))
  await Promise.all(pids.map(killProcess))
  return { what: `${pids.length} ${victim}${pids.length === 1 ? '' : 's'}`, back: Promise.resolve() }
}

export async function kill(environment: Environment, victim: Victim): Promise<Killed> {
  if (victim === 'function' || victim === 'mover') return await killFunctions(environment, victim)
  const { adapters, router, s3, controlPlane } = environment.parts
  const server = {
    adapter: adapters,
    router,
    s3,
    etcd: controlPlane.etcdServer,
    'kube-apiserver': controlPlane.apiServer,
  }[victim]
  await server.down()
  return { what: victim, back: sleep(DOWN_MS).then(() => server.up()) }
}
