// One crash run: backs a volume up, restores it and deletes its backup, while the planned faults happen; then everything is as before.

import * as assert from 'node:assert/strict'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import { KINDS } from '#shared/api/kinds.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { type Backup, backUp, remove, restore } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import { type Bench, calm, LEASE_SECONDS } from './bench.ts'
import { atWork, claimLeases, leftovers, type World, worldOf } from './leftovers.ts'
import type { CrashRun, Stage, Step } from './plan.ts'
import { Armed } from './steps.ts'

const MIB = 2 ** 20
/** At the bench's pace, this takes at least two slices. */
const DATA_BYTES = 9 * MIB
const SIZE_BYTES = 16 * MIB
const MINUTE_MS = 60_000
const KILL_MS = 1000 * (2 * LEASE_SECONDS + 5)
const SLOT = /^dormouse-slot-/
const RECORDS = ['Snapshot', 'Upload', 'CloneFromSnapshot', 'Download', 'DeleteSnapshot'] as const
/** A stage may wait for its faults, and then for five minutes after the servers are back. */
const WITHIN_MS = 5 * MINUTE_MS

export type Report = {
  seconds: Record<Stage, number>
  /** The faults that happened, in order. */
  happened: string[]
  /** Planned faults that never happened. */
  unmet: Step[]
  /** `<caller>: <write>` of each stage, in the order of their first appearance. */
  points: Record<Stage, string[]>
}

let runs = 0

/** Rejects with the first thing that is wrong; the bench is calm again in any case. */
export async function crashRun(bench: Bench, run: CrashRun): Promise<Report> {
  const { environment, bystander, repository } = bench
  const report: Report = {
    seconds: { backup: 0, restore: 0, delete: 0 },
    happened: [],
    unmet: [],
    points: { backup: [], restore: [], delete: [] },
  }
  const number = ++runs
  const claim = { namespace: `crash-${number}`, name: 'data' }
  const copy = { namespace: `restored-${number}`, name: 'data' }
  const waiting = { timeoutMs: timeLimitMs(run) }
  try {
    const before = await worldOf(environment)
    const volume = await environment.createVolume({ ...claim, sizeBytes: SIZE_BYTES, timeoutMs: 2 * MINUTE_MS })
    await writePieces(volume.file, [{ offsetBytes: 2 * MIB, data: noise(run.id, DATA_BYTES) }])
    const backup = await stage(bench, run, report, 'backup', () => backUp(environment, claim, repository, waiting))
    assert.equal(backup.upload['status'].phase, 'Completed')
    const restored = await stage(bench, run, report, 'restore', () =>
      restore(environment, backup, copy.namespace, waiting),
    )
    assert.equal(await sha256(restored.volume.file), await sha256(volume.file), 'the restored bytes are others')
    await untilNothingIsLeft(bench, plus(before, [volume, restored.volume]))
    await stage(bench, run, report, 'delete', () => remove(environment, backup, waiting))
    await assertDeleted(bench, backup)
    await assertPruned(bench)
    await untilNothingIsLeft(bench, plus(before, [volume, restored.volume]))
    await bystander.assertUntouched()
    await forget(bench, [claim, copy])
    await untilNothingIsLeft(bench, before)
    return report
  } catch (error) {
    // The next run begins with the leftovers of this one, and must not fail because of them.
    await calm(bench)
    await forget(bench, [claim, copy])
    throw new CrashRunFailed(report, error as Error)
  } finally {
    await calm(bench)
  }
}

/** `report`: the report so far. */
export class CrashRunFailed extends Error {
  readonly report: Report

  constructor(report: Report, cause: Error) {
    super(cause.message, { cause })
    this.report = report
  }
}

async function stage<T>(bench: Bench, run: CrashRun, report: Report, name: Stage, act: () => Promise<T>): Promise<T> {
  const { calls } = bench.faults.plan
  const from = calls.length
  await calm(bench)
  const armed = new Armed(bench, name, run.steps)
  const startMs = performance.now()
  try {
    const value = await act()
    // Writes after the end that a user sees (Leases, slots, the last labels) belong to the stage: if they counted for the next stage, that one
    // would wait for them in vain.
    const isDone = async () =>
      [...(await atWork(bench.environment)), ...(await claimLeases(bench.environment))].length === 0
    await until('the functions are done', isDone, WITHIN_MS)
    return value
  } finally {
    report.seconds[name] = (performance.now() - startMs) / 1000
    report.unmet.push(...(await armed.disarm()))
    report.happened.push(...armed.happened)
    report.points[name] = bench.faults.plan.points(from)
  }
}

/** Each kill may cost the length of a Lease twice (by the wall clock, then by the next holder's own) and a start. */
function timeLimitMs({ steps }: CrashRun): number {
  const faultsMs = steps.map((step) => ('forMs' in step ? step.forMs : KILL_MS))
  return faultsMs.reduce((sum, ms) => sum + ms, WITHIN_MS)
}

async function untilNothingIsLeft({ environment, bystander }: Bench, expected: World): Promise<void> {
  let found: string[] = []
  const isClean = async () => {
    found = await leftovers(environment, bystander, expected)
    return found.length === 0
  }
  await until('nothing is left over', isClean, WITHIN_MS).catch(() => {})
  assert.deepEqual(found, [], 'something is left over')
}

/** A tombstone in place of the root means that a restore finds nothing; prune removes what else it leaves. */
async function assertDeleted({ environment }: Bench, backup: Backup): Promise<void> {
  const { client, bucket } = environment.s3
  const key = `plugins/dormouse/${backup.upload['status'].root}`
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  const bytes = await Body!.transformToByteArray()
  assert.equal(claimedKind(bytes), 'tombstone', `what stands at ${key} after the deletion`)
}

/** Maintenance removes what is left: no session that is still open prevents that. */
async function assertPruned({ environment, data }: Bench): Promise<void> {
  let found: string[] = []
  const isPruned = async () => {
    await environment.ping('dormouse-maintenance')
    found = await unreachableObjects(data)
    return found.length === 0
  }
  await until('nothing is unreachable', isPruned, MINUTE_MS).catch(() => {})
  assert.deepEqual(found, [], 'no root reaches it after a prune')
}

/** Deletes claims and records, as an owner does who needs none of them any more. */
async function forget({ environment }: Bench, claims: { namespace: string; name: string }[]): Promise<void> {
  for (const claim of claims)
    await environment.api.delete({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...claim })
  for (const kind of RECORDS) {
    const { apiVersion } = KINDS[kind]
    for (const { metadata } of await environment.api.list(apiVersion, kind)) {
      const namespace = metadata.namespace!
      await environment.api.delete({ apiVersion, kind, namespace, name: metadata.name })
    }
  }
  // The next run makes its slots anew, as the first did.
  const leases = await environment.api.list('coordination.k8s.io/v1', 'Lease', 'velero')
  for (const { apiVersion, kind, metadata } of leases.filter((lease) => SLOT.test(lease.metadata.name)))
    await environment.api.delete({ apiVersion, kind, namespace: metadata.namespace!, name: metadata.name })
}

function plus(world: World, volumes: Volume[]): World {
  const more = (part: string[], added: string[]) => [...part, ...added].sort()
  const names = volumes.map(({ claim }) => `${claim.metadata.namespace}/${claim.metadata.name}`)
  return {
    disks: more(
      world.disks,
      volumes.map(({ fcdId }) => fcdId),
    ),
    volumes: more(
      world.volumes,
      volumes.map(({ volumeName }) => `/${volumeName}`),
    ),
    claims: more(world.claims, names),
  }
}
