// Plays one run from its beginning to its end, and checks what must be true then.

import * as assert from 'uvu/assert'
import { DOWNLOAD_RETRIES } from '#shared/domain/download.ts'
import { unwrapToDisk } from '#shared/domain/ids.ts'
import { snapshotDescription } from '#shared/domain/orphans.ts'
import { stepOf } from '#shared/domain/step-label.ts'
import { DEFAULT_UPLOAD_RETRY_MAX } from '#shared/domain/upload.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { boundMs } from './bound.ts'
import type { Choices, Step } from './choices.ts'
import { assertNothingLeft } from './invariants.ts'
import { diskBytes } from './objects.ts'
import { CLUSTER_ID } from './processes.ts'
import { type Backup, planOf, type Restore, Users } from './users.ts'
import { World } from './world.ts'

export type Ended = { failure: string | undefined; steps: readonly Step[]; deaths: number; troubles: number }

/** Never throws: an error is in `failure`. */
export async function simulate(choices: Choices, trace?: (line: string) => void): Promise<Ended> {
  const world = new World(choices, planOf(choices))
  if (trace !== undefined) traceInto(world, trace)
  // In a real process nothing would be left that could report it.
  const onLost = (thrown: unknown) => void world.errors.push(`nobody awaited: ${(thrown as Error).stack}`)
  process.on('unhandledRejection', onLost)
  const failure = await runThrough(world)
    .catch((error: unknown) => error as Error)
    .finally(() => process.off('unhandledRejection', onLost))
  return {
    failure: failure === undefined ? undefined : `${failure.message}\n${failure.stack ?? ''}`,
    steps: choices.taken,
    deaths: world.deaths,
    troubles: world.faults.troubles,
  }
}

/** A name without its random part. */
function holderOf(lease: LooseObject): string | undefined {
  return lease['spec']?.holderIdentity?.replace(/[/][-0-9a-f]{36}$/, '')
}

function traceInto(world: World, trace: (line: string) => void): void {
  const startMs = world.clock.nowMs()
  const at = () => `${((world.clock.nowMs() - startMs) / 1000).toFixed(1)} s`
  world.faults.onTrouble = (text) => trace(`${at()} * ${text}`)
  world.faults.clocks.onJump = (text) => trace(`${at()} @ ${text}`)
  world.faults.slowness.onDelay = (text) => trace(`${at()} ~ ${text}`)
  world.cluster.onWrite((kind, before, after) => {
    const { name } = (after ?? before)?.metadata ?? {}
    const state = (object: typeof before) =>
      object === undefined
        ? 'none'
        : `${object['status']?.phase ?? ''}/${stepOf(object) ?? ''}/${holderOf(object) ?? object['status']?.reason ?? ''}`
    if (kind !== 'Event') trace(`${at()} ${kind} ${name}: ${state(before)} -> ${state(after)}`)
  })
}

async function runThrough(world: World): Promise<undefined> {
  await world.foreign.useBucket()
  const users = new Users(world)
  await users.act()
  await world.runWithin(boundOf(world), () => world.isQuiet())
  await world.run(() => world.claimLeases.length === 0, HOUR_MS)
  assert.equal(world.broken, [], `broken: ${world.broken.join('; ')}`)
  assert.equal(world.errors, [], world.errors.join('\n'))
  await world.bucket.prune()
  for (const backup of users.backups) await checkBackup(users, backup)
  for (const restore of users.restores) checkRestore(users, restore)
  for (const name of users.deletes) checkDelete(world, name)
  assert.equal(world.foreign.harmed, [], `harmed what is others': ${world.foreign.harmed.join(', ')}`)
  if (!wasLetGo(world))
    assertNothingLeft(world, new Set([...world.foreign.snapshotIds, ...localSnapshots(users), ...lateSnapshots(world)]))
  await assertNothingUnreachable(world)
}

/** Counts all transfers of the run, because the ended ones may have delayed the others. */
function boundOf({ cluster, faults }: World): number {
  const transfers = (['Snapshot', 'CloneFromSnapshot'] as const).flatMap((kind) => cluster.peekAll(kind))
  return boundMs(transfers.length, faults.plan.pace ?? 0)
}

/** When no process works in the bucket any more, a prune leaves only what backups reach. */
async function assertNothingUnreachable({ bucket }: World): Promise<void> {
  await bucket.prune(true)
  await bucket.prune(true)
  assert.equal(await bucket.unreachable(), [], 'an object is left that no backup reaches')
  for (const key of bucket.backups.keys()) await bucket.checkRoot(key)
  assert.equal(bucket.broken, [])
}

/**
 * Disk snapshots that are left to the hourly orphan sweep, which is no part of these runs: those of a process that died between the start of
 * the snapshot task and its record, when vCenter shows them only after their backup is over; and those on disks that a function has reported.
 */
function lateSnapshots({ volumes, lostStarts, leftToOrphanSweep }: World): string[] {
  const isLate = (fcdId: string, description: string) => lostStarts.has(description) || leftToOrphanSweep.has(fcdId)
  const late = (fcdId: string) => volumes.snapshotsOf(fcdId).filter(({ description }) => isLate(fcdId, description))
  return volumes.diskIds.flatMap(late).map(({ snapshotId }) => snapshotId)
}

/** In local mode the disk snapshot is the backup until a user deletes it; a second copy is left to the hourly orphan sweep, too. */
function localSnapshots(users: Users): string[] {
  const { volumes } = users.world
  const all = volumes.diskIds.flatMap((fcdId) => volumes.snapshotsOf(fcdId))
  return users.backups
    .filter((backup) => backup.localMode && !backup.deleteAsked)
    .filter((backup) => backup.gone || users.snapshotOf(backup)?.['status'].phase === 'Snapshotted')
    .flatMap(({ uid }) => all.filter(({ description }) => description === snapshotDescription(CLUSTER_ID, uid, true)))
    .map(({ snapshotId }) => snapshotId)
}

async function checkBackup(users: Users, backup: Backup): Promise<void> {
  const { bucket } = users.world
  const snapshot = users.snapshotOf(backup)
  if (snapshot === undefined) {
    assert.ok(backup.gone || areRecordsOld(users.world), `Snapshot ${backup.name} is gone, and nobody deleted it`)
    return
  }
  const { phase, snapshotID } = snapshot['status']
  const text = `Snapshot ${backup.name} is ${phase} (${snapshot['status'].reason}: ${snapshot['status'].message})`
  assert.ok(
    backup.may.has(phase) || isExcused(users, snapshot.metadata.name, phase),
    `${text}, want ${[...backup.may]}`,
  )
  if (backup.localMode || typeof snapshotID !== 'string' || snapshotID === '') return
  const { snapshotId } = unwrapToDisk(snapshotID)
  const root = bucket.backupOf(snapshotId)
  if (backup.deleteAsked) assert.is(root, undefined, `${text}, was deleted, and its backup stands`)
  else assert.is(root !== undefined, phase === 'Uploaded', `${text}, its backup is ${root ?? 'not there'}`)
  if (root !== undefined) assert.ok((await bucket.restore(root)).equals(bucket.expected.get(snapshotId)!), text)
}

function checkDelete(world: World, name: string): void {
  const request = world.cluster.peek('DeleteSnapshot', 'velero', name)
  if (request !== undefined || !areRecordsOld(world)) assert.is(request?.['status']?.phase, 'Completed', name)
}

/** True when the API server's clock has jumped ahead by a year: the sweep has removed records that are kept for a day. */
function areRecordsOld({ faults }: World): boolean {
  return faults.clocks.serverWentAhead
}

/** True when the API server's clock jumped and the sweep therefore released a deletion early: the hourly orphan sweep removes what it left. */
function wasLetGo(world: World): boolean {
  const { serverWentAhead, serverWentBack } = world.faults.clocks
  return (
    (serverWentAhead || serverWentBack) &&
    world.cluster.peekAll('Event').some((event) => event['reason'] === 'FinalizerReleased')
  )
}

/** All attempts failed by faults of the plan. A wrong clock is no excuse: ages follow the API server's clock. */
function isExcused(users: Users, name: string, phase: string): boolean {
  const { cluster } = users.world
  const upload = cluster.peekAll('Upload').find((each) => each['spec']?.snapshotReference?.endsWith(`/${name}`))
  return phase === 'UploadFailedAfterRetry' && Number(upload?.['status']?.retryCount) > DEFAULT_UPLOAD_RETRY_MAX
}

function checkRestore(users: Users, restore: Restore): void {
  const { world } = users
  const clone = users.cloneOf(restore)
  if (restore.gone) return
  if (clone === undefined && areRecordsOld(world)) return
  assert.ok(clone, `CloneFromSnapshot ${restore.name} is gone, and nobody deleted it`)
  const { phase, reason, message, downloadName } = clone['status']
  const download = world.cluster.peek('Download', 'velero', downloadName ?? '-')
  const excused = phase === 'Failed' && Number(download?.['status']?.retryCount) >= DOWNLOAD_RETRIES
  const text = `CloneFromSnapshot ${restore.name} is ${phase} (${reason}: ${message})`
  // Its wait ended by an age that the clock's jump made wrong.
  const { serverWentAhead, serverWentBack } = world.faults.clocks
  const isOfAge = phase === 'Failed' && (serverWentAhead || serverWentBack)
  assert.ok(restore.may.has(phase) || excused || isOfAge, `${text}, want ${[...restore.may]}`)
  const claim = world.cluster.peek('PersistentVolumeClaim', restore.namespace, restore.from.claim)
  if (restore.claimLost === true && claim === undefined) return
  // Velero's claim stays Pending.
  const unfinished = restore.byVelero ? 'Pending' : undefined
  assert.is(claim?.['status']?.phase, phase === 'Completed' ? 'Bound' : unfinished, `${text}, its claim`)
  if (claim === undefined || phase !== 'Completed') return
  const wanted = world.bucket.expected.get(unwrapToDisk(clone['spec'].snapshotID).snapshotId)
  const volume = world.cluster.peek('PersistentVolume', undefined, claim['spec'].volumeName!)
  assert.ok(wanted && diskBytes(world, volume?.['spec']?.csi?.volumeHandle ?? '').equals(wanted), `${text}, its bytes`)
  assert.is(volume?.['spec'].persistentVolumeReclaimPolicy, 'Delete', `${text}, its volume's reclaim policy`)
}
