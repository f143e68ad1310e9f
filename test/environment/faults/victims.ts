// Kills a part of the environment with -9 and brings it back after a second, as a cluster would.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Environment } from '../environment.ts'
import { descendants } from '../process/memory.ts'
import { isAlive, moversOf } from './callers.ts'

export const VICTIMS = ['function', 'mover', 'adapter', 'router', 's3', 'etcd', 'kube-apiserver'] as const
export type Victim = (typeof VICTIMS)[number]

const DOWN_MS = 1000

/** `back` resolves when the victim runs again. A function runs again with its next request. */
type Killed = { what: string; back: Promise<void> }

/** `pid`: the process itself; for a function, all its children are killed as well. */
export async function killProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    return // it is dead already, which is what the test wanted
  }
  while (isAlive(pid)) await sleep(2)
}

/** All running instances, or all their movers. If none runs, none is killed, and `what` says so. */
async function killFunctions(environment: Environment, victim: 'function' | 'mover'): Promise<Killed> {
  const instances = environment.activator.names().flatMap((name) => environment.activator.instancesOf(name))
  const roots = instances.map(({ program }) => program.leashPid)
  const pids = victim === 'mover' ? roots.flatMap(moversOf) : roots.flatMap((root) => descendants(root))
  await Promise.all(pids.map(killProcess))
  return { what: `${pids.length} ${victim}${pids.length === 1 ? '' : 's'}`, back: Promise.resolve() }
}

type Server = Exclude<Victim, 'function' | 'mover'>
type Killable = { down: () => Promise<void>; up: () => Promise<void> }

/** For each server, when it is back from its last death. */
const lastDeath = new WeakMap<Killable, Promise<void>>()

/** Resolves when it is dead. Waits for a server that is still coming back from an earlier death, so that each kill is a death of its own. */
export async function kill(environment: Environment, victim: Victim): Promise<Killed> {
  if (victim === 'function' || victim === 'mover') return await killFunctions(environment, victim)
  const server = serverOf(environment, victim)
  const { promise: over, resolve: end } = Promise.withResolvers<void>()
  const before = lastDeath.get(server)
  lastDeath.set(server, over)
  try {
    await before
    await killServer(environment, victim, server)
  } catch (error) {
    end()
    throw error
  }
  return {
    what: victim,
    back: sleep(DOWN_MS)
      .then(() => server.up())
      .finally(end),
  }
}

async function killServer(environment: Environment, victim: Server, server: Killable): Promise<void> {
  const pids = pidsOf(environment, victim)
  if (!pids.every(isAlive)) throw new Error(`${victim} is to be killed, and does not run`)
  await server.down()
  if (pids.some(isAlive)) throw new Error(`${victim} was killed, and runs`)
}

function serverOf({ parts }: Environment, victim: Server): Killable {
  const { adapters, router, s3, controlPlane } = parts
  const { etcdServer, apiServer } = controlPlane
  return { adapter: adapters, router, s3, etcd: etcdServer, 'kube-apiserver': apiServer }[victim]
}

/** The pid of its leash, which ends with it. The router runs in this process; event sources that were never started have no pid. */
function pidsOf({ parts }: Environment, victim: Server): number[] {
  const { adapters, s3, controlPlane } = parts
  if (victim === 'router') return []
  if (victim === 'adapter') return adapters.pids
  return victim === 's3' ? [s3.pid ?? 0] : controlPlane.pids[victim]
}
