// Simulates more than a day of orphan sweeps in virtual time: thousands of disks, a slow vCenter, and runs that are cut off or killed after
// 300 s, the time limit of the sweep's service.

import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { VolumeDeps } from '#shared/controllers/deps.ts'
import { underTaskLease } from '#shared/controllers/task.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '#shared/kernel/units.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import { stores } from '#test/support/stores.ts'
import { sweepOrphans } from '../../functions/sweep/orphans.ts'
import { IdleClock } from './idle-clock.ts'

type OrphansDay = {
  /** From the first tick until the last disk was checked for the first time. */
  allSeenMs: number
  runs: number
  /** Queries to vCenter, including those for disks that were checked before. */
  calls: number
  /** The most queries at the same moment. */
  mostAtOnce: number
  /** Answers to the ticks that came during a run, and how often these ticks queried vCenter. */
  besides: { words: Set<string>; calls: number }
}

/** `timeoutSeconds` of the sweep (config/services/sweep.yaml). */
const CUT_MS = 300 * SECOND_MS
/** The time of eight pages of the API server, which the memory cluster returns as a single one. */
const PAGE_MS = 0.8 * SECOND_MS
const PAGE_OBJECTS = 1024
const TOO_LONG_MS = 48 * HOUR_MS

type Process = { dead: boolean; isRun: boolean }

/**
 * Runs until each disk of a volume was checked. `named`: how many other disks only users' objects name. Each second run is killed, the
 * others are cut off in order.
 */
export async function liveOrphansDay(disks: number, callMs: number, named = 0): Promise<OrphansDay> {
  const clock = new IdleClock()
  const cluster = new MemoryCluster({ clock, pageObjects: PAGE_OBJECTS })
  seed(cluster, disks, named)
  const seen = new Set<string>()
  const day: OrphansDay = { allSeenMs: 0, runs: 0, calls: 0, mostAtOnce: 0, besides: { words: new Set(), calls: 0 } }
  let atOnce = 0
  const listSnapshots = async (process: Process, fcdId: string) => {
    await alive(process)
    day.mostAtOnce = Math.max(day.mostAtOnce, ++atOnce)
    if (process.isRun) day.calls++
    else day.besides.calls++
    await clock.sleep(callMs)
    atOnce--
    await alive(process)
    if (isVolume(fcdId, disks) && !seen.has(fcdId)) {
      day.allSeenMs = clock.monotonicMs()
      seen.add(fcdId)
    }
    return []
  }
  const tick = (process: Process, signal: AbortSignal) => {
    const deps = {
      cluster: mortal(cluster, clock, process),
      volumes: { listSnapshots: (fcdId: string) => listSnapshots(process, fcdId) },
      clock,
      settings: readSettings({}),
      stores,
      identity: crypto.randomUUID(),
      log: { debug() {}, info() {}, warn() {}, error() {} },
      clusterId: async () => 'mine',
    } as unknown as VolumeDeps
    const task = { name: 'orphans', gapMs: deps.settings.orphanGapMs }
    return underTaskLease(deps, task, async (resume) => {
      await sweepOrphans(deps, signal, resume)
      return 'looked'
    })
  }
  for (let hour = 0; seen.size < disks && hour * HOUR_MS < TOO_LONG_MS; hour++) {
    await clock.sleep(hour * HOUR_MS - clock.monotonicMs())
    const process = { dead: false, isRun: true }
    const cut = new AbortController()
    const run = tick(process, cut.signal)
    day.runs++
    await clock.sleep(MINUTE_MS)
    const isUnderWay = seen.size < disks
    const words = await tick({ dead: false, isRun: false }, new AbortController().signal)
    if (isUnderWay) day.besides.words.add(words)
    await clock.sleep(CUT_MS - MINUTE_MS)
    process.dead = hour % 2 === 1
    cut.abort()
    if (!process.dead) await run
    atOnce = 0
  }
  return day
}

const idOf = (index: number) => `d8740414-6ff3-46c6-9b38-${String(index).padStart(12, '0')}`
const isVolume = (fcdId: string, volumes: number) => Number(fcdId.slice(-12)) < volumes

function seed(cluster: MemoryCluster, volumes: number, named: number): void {
  for (let index = 0; index < volumes; index++)
    cluster.seed('PersistentVolume', {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: `pv-${index}` },
      spec: { csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: idOf(index) } },
    })
  for (let index = volumes; index < volumes + named; index++)
    cluster.seed('Snapshot', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'Snapshot',
      metadata: { name: `s-${index}`, namespace: 'app' },
      status: { volumeID: `ivd:${idOf(index)}` },
    })
}

/** A dead process gets no answers, and has no effect any more. */
async function alive({ dead }: Process): Promise<void> {
  if (dead) await new Promise(() => undefined)
}

function mortal(cluster: MemoryCluster, clock: IdleClock, process: Process): Cluster {
  const call = async <T>(ms: number, act: () => Promise<T>): Promise<T> => {
    if (ms > 0) await clock.sleep(ms)
    await alive(process)
    return await act()
  }
  return {
    nowMs: () => clock.nowMs(),
    read: (...args) => call(0, () => cluster.read(...args)),
    list: (...args) => call(PAGE_MS, () => cluster.list(...args)),
    page: (...args) => call(PAGE_MS, () => cluster.page(...args)),
    create: (...args) => call(0, () => cluster.create(...args)),
    patch: (...args) => call(0, () => cluster.patch(...args)),
    patchStatus: (...args) => call(0, () => cluster.patchStatus(...args)),
    delete: (...args) => call(0, () => cluster.delete(...args)),
  }
}
