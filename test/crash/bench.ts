// One environment for many runs: its settings, its repository, and the check that it is calm again.

import type { Repository } from '#shared/repository/core/repository.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import type { Faults } from '#test/environment/faults/faults.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { claimRepository } from '#test/environment/main-job.ts'
import { openRepository } from '#test/environment/storage/repository.ts'
import { type Bystander, standBy } from './bystander.ts'

const SLICE_SECONDS = 2
export const LEASE_SECONDS = 5
const BYTES_PER_SECOND = 3e6
const SWEEP_MS = 2000
const EVENTS_MS = 15_000

export type Bench = {
  environment: Environment
  faults: Faults
  /** The BackupRepository's name, and the repository in the bucket. */
  repository: string
  data: Repository
  bystander: Bystander
}

export async function startBench({ keepFolder = false, adapters = true } = {}): Promise<Bench> {
  const environment = await startEnvironment({
    faults: true,
    keepFolder,
    adapters,
    env: {
      DORMOUSE_SLICE_SECONDS: String(SLICE_SECONDS),
      DORMOUSE_LEASE_SECONDS: String(LEASE_SECONDS),
      DORMOUSE_DUE_SECONDS: '2',
      // A Download tries seven times, five units apart: this has to last longer than the minute for which a server is away.
      DORMOUSE_BACKOFF_UNIT_SECONDS: '2',
      DORMOUSE_MEMORY_MIB: '256',
      FAKE_VDDK_MBPS: String(BYTES_PER_SECOND / 1e6),
    },
    pingEveryMs: { 'dormouse-sweep': SWEEP_MS },
    idleMs: 20_000,
  })
  // A test must not fail because of an API server that it has killed.
  environment.api.patienceMs = 120_000
  const faults = environment.parts.faults!
  const repository = await claimRepository(environment)
  const data = await openRepository(environment)
  return { environment, faults, repository, data, bystander: await standBy(environment) }
}

/** Waits until all servers answer, no fault is set, and no event is on its way. */
export async function calm({ environment, faults }: Bench): Promise<void> {
  faults.plan.clear()
  await faults.shiftClock(0)
  await Promise.all(faults.proxies.map((proxy) => proxy.back()))
  await environment.vcenter.clearFaults()
  await environment.api.list('v1', 'Namespace')
  const isCalm = () => environment.router.inFlight === 0
  await until('no event is on its way', isCalm, EVENTS_MS).catch(async () => {
    // After many deaths, an event may wait for minutes until its next attempt. It is dropped, as any event may be lost.
    await environment.router.down()
    await environment.router.up()
  })
}
