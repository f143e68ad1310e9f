// How Velero's backups end when something fails, and when they are deleted or expire: never a false Completed, and nothing is left.

import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import { sideBySide } from '#test/support/side-by-side.ts'
import {
  aFilledVolume,
  assertCompleted,
  assertNothingLeft,
  hasData,
  listOf,
  OVER,
  phaseOf,
  runOf,
  startWithPlugin,
  untilPhase,
} from './support/velero.ts'

const MIB = 2 ** 20

const ends = suite('the ends of Velero’s backups')
let environment: Environment
let volume: Volume

ends.before(async () => {
  environment = await startWithPlugin({
    movers: 4,
    envOf: { upload: { FAKE_VDDK_MBPS: '2' } },
    velero: { flags: { 'garbage-collection-frequency': '5s', 'concurrent-backups': '3' } },
  })
  volume = await aFilledVolume(environment, 'shop', 'orders')
})
ends.after(async () => {
  await environment.stop()
})

const create = async (name: string, ...args: string[]) =>
  await environment.velero('backup', 'create', name, '--include-namespaces', 'shop', ...args)

ends('an upload that fails for good makes the Backup PartiallyFailed, with our reason', async () => {
  // The first backup of a repository may come before the repository exists: with a time limit of five minutes that alone ends it.
  await create('first', '--wait')
  await assertCompleted(environment, 'Backup', 'first')
  await environment.api.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'velero-vsphere-plugin-config', namespace: 'velero' },
    data: { 'upload-cr-retry-max': '1' },
  } as never)
  const { plan } = environment.parts.faults!
  const broken = plan.add({
    match: /^upload mover: PUT (packs|session)/,
    server: 's3',
    times: Number.POSITIVE_INFINITY,
    fault: { answer: { status: 507, body: '<Error><Code>InsufficientStorage</Code></Error>' } },
  })
  await create('broken', '--item-operation-timeout', '5m')
  assert.is(await untilPhase(environment, 'Backup', 'broken', OVER, 120_000), 'PartiallyFailed')
  broken.remove()
  const told = await environment.velero('backup', 'describe', 'broken', '--details')
  assert.match(told, /Phase:\s+Failed/)
  assert.match(told, /UploadFailedAfterRetry|S3Full/)
  assert.match(told, 'S3Full')
  await environment.kubectl('-n', 'velero', 'delete', 'configmap', 'velero-vsphere-plugin-config')
  await assertNothingLeft(environment)
})

const atOnce = sideBySide(ends)

atOnce('an operation that Velero times out is cancelled, and leaves nothing', async () => {
  const slow = await environment.createVolume({ namespace: 'slow', name: 'archive', sizeBytes: 48 * MIB })
  await writePieces(slow.file, [{ offsetBytes: 0, data: noise('archive', 40 * MIB) }])
  await environment.velero(
    ...['backup', 'create', 'late', '--include-namespaces', 'slow', '--item-operation-timeout', '5s'],
  )
  assert.is(await untilPhase(environment, 'Backup', 'late', OVER, 60_000), 'PartiallyFailed')
  const phase = async () => (await listOf(environment, 'Snapshot', 'slow'))[0]?.['status'].phase
  await until('the Snapshot is cancelled', async () => (await phase()) === 'Canceled', 30_000)
  assert.match(await environment.velero('backup', 'describe', 'late', '--details'), 'Asynchronous action timed out')
})

atOnce('row 31: a Backup that is deleted takes its data with it, and another one stays whole', async () => {
  await create('kept', '--wait')
  await create('doomed', '--wait')
  assert.equal(
    [await phaseOf(environment, 'Backup', 'kept'), await phaseOf(environment, 'Backup', 'doomed')],
    ['Completed', 'Completed'],
  )
  await environment.velero('backup', 'delete', 'doomed', '--confirm')
  await until('it is gone', async () => (await runOf(environment, 'Backup', 'doomed')) === undefined, 60_000)
  const deletions = await listOf(environment, 'DeleteSnapshot', 'velero')
  const own = deletions.filter(({ metadata }) => metadata.labels?.['velero.io/backup-name'] === 'doomed')
  assert.equal(
    own.map(({ status }) => status.phase),
    ['Completed'],
  )
  const mapping = ['--namespace-mappings', 'shop:kept']
  await environment.velero('restore', 'create', 'of-kept', '--from-backup', 'kept', ...mapping, '--wait')
  await assertCompleted(environment, 'Restore', 'of-kept')
  assert.is(await sha256((await volumeOf(environment, 'kept', 'orders')).file), await sha256(volume.file))
})

/** Waits until the schedule has made one Backup. */
async function oneScheduled(): Promise<string> {
  const schedule = { apiVersion: 'velero.io/v1', kind: 'Schedule', namespace: 'velero', name: 'often' }
  const before = await scheduled()
  // Velero checks a schedule every minute, and whenever its spec changes.
  await environment.api.patch(schedule, { spec: { paused: false } })
  await until('it has made a Backup', async () => (await scheduled()).length > before.length, 70_000)
  await environment.api.patch(schedule, { spec: { paused: true } })
  const [name = ''] = (await scheduled()).filter((one) => !before.includes(one))
  assert.is(await untilPhase(environment, 'Backup', name, OVER, 180_000), 'Completed')
  return name
}

async function scheduled(): Promise<string[]> {
  const all = await environment.api.list('velero.io/v1', 'Backup', 'velero')
  const own = all.filter(({ metadata }) => metadata.labels?.['velero.io/schedule-name'] === 'often')
  return own.map(({ metadata }) => metadata.name).sort()
}

let expired: string
let last: string

atOnce('row 58: a schedule’s expired backups go with their data, and the rest restores', async () => {
  const how = ['--schedule', '@every 1s', '--paused', '--ttl', '1h', '--include-namespaces', 'shop']
  await environment.velero('schedule', 'create', 'often', ...how)
  await sleep(1500) // then it is due
  expired = await oneScheduled()
  last = await oneScheduled()
  // As if its hour were over.
  const backup = { apiVersion: 'velero.io/v1', kind: 'Backup', namespace: 'velero', name: expired }
  await environment.api.patch(backup, { status: { expiration: new Date(Date.now() - 1000).toISOString() } })
  await until('the first of them is gone', async () => !(await scheduled()).includes(expired), 90_000)
  assert.ok((await scheduled()).includes(last))
  const into = ['--namespace-mappings', 'shop:scheduled', '--wait']
  await environment.velero('restore', 'create', 'of-last', '--from-backup', last, ...into)
  await assertCompleted(environment, 'Restore', 'of-last')
  assert.is(await sha256((await volumeOf(environment, 'scheduled', 'orders')).file), await sha256(volume.file))
})

ends('nothing is left of what was given up, deleted or expired, and only the data of the expired is gone', async () => {
  await assertNothingLeft(environment)
  assert.equal([await hasData(environment, expired), await hasData(environment, last)], [false, true])
})

const atOnceAfter = sideBySide(ends)

atOnceAfter('row 26: with --restore-volumes=false the claim is left to Velero, and nothing is cloned', async () => {
  const before = (await listOf(environment, 'CloneFromSnapshot')).length
  const how = ['--namespace-mappings', 'shop:bare', '--restore-volumes=false']
  await environment.velero('restore', 'create', 'bare', '--from-backup', 'kept', ...how, '--wait')
  await assertCompleted(environment, 'Restore', 'bare')
  assert.is((await listOf(environment, 'CloneFromSnapshot')).length, before)
  const claim = await environment.api.get({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    namespace: 'bare',
    name: 'orders',
  })
  assert.not.match(String(claim?.['spec'].volumeName), /^dormouse-/)
})

atOnceAfter('row 25: a claim that exists is left as it is, with a warning', async () => {
  const clones = (await listOf(environment, 'CloneFromSnapshot')).length
  await environment.velero('restore', 'create', 'again', '--from-backup', 'kept', '--wait')
  const status = (await runOf(environment, 'Restore', 'again'))?.['status']
  assert.is(status?.phase, 'Completed')
  assert.ok(status.warnings > 0)
  assert.is((await listOf(environment, 'CloneFromSnapshot')).length, clones)
  assert.match(await environment.velero('restore', 'logs', 'again'), /TargetExists/)
})

atOnceAfter('row 12: with --snapshot-volumes=false no Snapshot is made', async () => {
  const before = (await listOf(environment, 'Snapshot')).length
  await create('plain', '--snapshot-volumes=false', '--wait')
  await assertCompleted(environment, 'Backup', 'plain')
  assert.is((await listOf(environment, 'Snapshot')).length, before)
})

ends.run()
