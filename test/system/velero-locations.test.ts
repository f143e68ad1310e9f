// Velero's locations are renamed, edited and moved: earlier backups can still be restored and deleted, and the next backup continues where the
// last one ended.

import { CopyObjectCommand, CreateBucketCommand, DeleteObjectCommand } from '@aws-sdk/client-s3'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Condition } from '#shared/api/kinds.ts'
import { conditionOf } from '#shared/domain/conditions.ts'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { CREDENTIALS_SECRET, secret } from '#test/environment/seed.ts'
import { sha256 } from '#test/environment/storage/content.ts'
import { aLocation } from '#test/environment/storage/location.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import { DEFAULT_LOCATION, VELERO_PREFIX } from '#test/environment/velero/start.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { askForDeletion, untilReason } from './support/bad-input.ts'
import { aFilledVolume, assertCompleted, assertNothingLeft, listOf, runOf, startWithPlugin } from './support/velero.ts'

const locations = suite('locations that change')
let environment: Environment
let volume: Volume
let hash: string

locations.before(async () => {
  environment = await startWithPlugin({ faults: false })
  volume = await aFilledVolume(environment, 'shop', 'orders')
  hash = await sha256(volume.file)
})
locations.after(async () => {
  await environment?.stop()
})

async function backUp(name: string, ...args: string[]): Promise<void> {
  await environment.velero('backup', 'create', name, '--include-namespaces', 'shop', ...args, '--wait')
  const status = (await runOf(environment, 'Backup', name))?.['status'] ?? {}
  assert.is(status.phase, 'Completed', `${status.failureReason ?? ''}\n${await logsOf(name)}`)
}

const logsOf = async (name: string) => await environment.velero('backup', 'logs', name).catch(String)

async function restoreOf(name: string, namespace: string): Promise<void> {
  const how = ['--from-backup', name, '--namespace-mappings', `shop:${namespace}`, '--wait']
  await environment.velero('restore', 'create', namespace, ...how)
  await assertCompleted(environment, 'Restore', namespace)
  assert.is(await sha256((await volumeOf(environment, namespace, 'orders')).file), hash)
}

/** The deletion found data and removed it: a deletion that looks in the wrong place says that nothing was stored. */
async function deleteOf(name: string): Promise<void> {
  await environment.velero('backup', 'delete', name, '--confirm')
  await until(`${name} is gone`, async () => (await runOf(environment, 'Backup', name)) === undefined, 90_000)
  const deletions = await listOf(environment, 'DeleteSnapshot', 'velero')
  const own = deletions.filter(({ metadata }) => metadata.labels?.['velero.io/backup-name'] === name)
  assert.equal(
    own.map(({ status }) => [status.phase, removedOf(status)?.reason]),
    [['Completed', 'BackupForgotten']],
  )
}

const removedOf = (status: { conditions?: Condition[] }) => conditionOf(status.conditions, 'Removed')

async function assertForgotten(name: string): Promise<void> {
  const isOver = (found: LooseObject | undefined) => found?.['status']?.phase === 'Completed'
  const { object } = await environment.waitFor('DeleteSnapshot', 'velero', name, isOver, 60_000)
  assert.is(removedOf(object['status'])?.reason, 'BackupForgotten')
}

async function snapshotOf(backup: string): Promise<LooseObject> {
  const all = await listOf(environment, 'Snapshot', 'shop')
  const own = all.find(({ metadata }) => metadata.labels?.['velero.io/backup-name'] === backup)
  assert.ok(own, `there is no Snapshot of ${backup}`)
  return own
}

async function untilAvailable(name: string): Promise<void> {
  const place = { apiVersion: 'velero.io/v1', kind: 'BackupStorageLocation', namespace: 'velero', name }
  const isAvailable = async () => (await environment.api.get(place))?.['status']?.phase === 'Available'
  await until(`location ${name} is available`, isAvailable, 90_000)
}

/** Waits until a prune has found each repository where this location points. */
async function pruneThrough(location: string): Promise<void> {
  await environment.ping('dormouse-maintenance')
  const isRecorded = async () =>
    (await listOf(environment, 'BackupRepository')).every(
      ({ status, repopsitoryParameters }) =>
        status.storageLocation === location && repopsitoryParameters.s3Url === environment.s3.shownUrl,
    )
  await until(`a prune has found all in ${location}`, isRecorded, 60_000)
}

const claimCount = async () => (await listOf(environment, 'BackupRepositoryClaim', 'velero')).length

/** Bytes that the Upload of a Backup has sent. */
async function sentBy(name: string): Promise<number> {
  const uploads = await listOf(environment, 'Upload', 'velero')
  const own = uploads.find(({ metadata }) => metadata.annotations?.['dormouse.dev/velero-backup'] === name)
  return own?.['status'].progress.bytesSent
}

async function assertGoesOn(name: string, from: string): Promise<void> {
  const [first, second] = [await sentBy(from), await sentBy(name)]
  assert.ok(second < first / 10, `nothing has changed: ${from} has sent ${first} bytes, ${name} ${second}`)
}

async function untilFoundIn(location: string, ...names: string[]): Promise<void> {
  await untilAvailable(location)
  await environment.parts.velero?.findBackups()
  for (const name of names) {
    const isThere = async () => (await runOf(environment, 'Backup', name))?.['spec'].storageLocation === location
    await until(`Velero has found ${name} in ${location}`, isThere, 120_000)
  }
}

/** The command also deletes Velero's Backup objects of the location; the data in the bucket stays. */
const removeLocation = async (name: string) =>
  void (await environment.velero('backup-location', 'delete', name, '--confirm'))

const anywhere = (name: string, change: (spec: LooseObject) => void = () => {}, wish: object = {}) => {
  const location = aLocation(environment.s3, name, { prefix: VELERO_PREFIX, default: true, ...wish })
  change(location['spec'])
  return location
}

locations(
  'under another name, over the same place: backups go on, and earlier ones are restored and deleted',
  async () => {
    await backUp('one')
    await backUp('two')
    const claims = await claimCount()
    await removeLocation(DEFAULT_LOCATION)
    await environment.api.apply(anywhere('renamed'))
    await untilFoundIn('renamed', 'one', 'two')
    await deleteOf('one')
    await backUp('three')
    await assertGoesOn('three', 'one')
    await restoreOf('two', 'of-two')
    assert.is(await claimCount(), claims, 'the claim that was there is taken')
    await assertNothingLeft(environment)
  },
)

locations(
  'with another endpoint and another credential: no hand work, and nothing uses what it said before',
  async () => {
    const keys = environment.s3.credentialsText()
    const wrong = keys.replace(/secret_access_key=.*/, 'secret_access_key=changed')
    await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: wrong, rotated: keys }))
    await environment.api.apply(
      anywhere('renamed', (spec) => {
        spec['credential'].key = 'rotated'
        spec['config'].s3Url = environment.s3.shownUrl.replace('127.0.0.1', 'localhost')
      }),
    )
    await backUp('four')
    await assertGoesOn('four', 'one')
    await restoreOf('two', 'again-two')
    await deleteOf('two')
    await assertNothingLeft(environment)
    await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: keys }))
    await environment.api.apply(anywhere('renamed'))
    await pruneThrough('renamed')
  },
)

locations('two of one place: each has backups of its own in one repository', async () => {
  await environment.api.apply(anywhere('second', () => {}, { default: undefined }))
  await untilAvailable('second')
  await backUp('five', '--storage-location', 'second')
  await assertGoesOn('five', 'one')
  await backUp('six')
  await assertGoesOn('six', 'one')
  await deleteOf('five')
  await restoreOf('six', 'of-six')
  await removeLocation('second')
  await assertNothingLeft(environment)
})

locations(
  'without one a deletion waits and says why, a tenant’s own location is none, and one that fits ends the wait',
  async () => {
    await untilFoundIn('renamed', 'three', 'four', 'six')
    const three = await snapshotOf('three')
    await removeLocation('renamed')
    const tenants = anywhere('renamed')
    await environment.api.apply({ ...tenants, metadata: { name: 'renamed', namespace: 'shop' } })
    const name = await askForDeletion(environment, three['status'].snapshotID, three['spec'].backupRepository)
    const waits = await untilReason(environment, 'DeleteSnapshot', 'velero', name, 'LocationMissing')
    assert.equal([waits['status'].phase, removedOf(waits['status'])?.status], ['InProgress', 'False'])
    assert.match(removedOf(waits['status'])?.message ?? '', /no other one points at bucket dormouse, prefix velero/)
    await environment.api.apply(anywhere('third'))
    await assertForgotten(name)
    await pruneThrough('third')
    await untilFoundIn('third', 'four', 'six')
  },
)

/** Copies object by object, as any S3 client copies a bucket, and empties `from`. */
async function moveBucket(from: string, to: string): Promise<void> {
  const { client } = environment.s3
  await client.send(new CreateBucketCommand({ Bucket: to }))
  const keys = (await environment.bucketObjects('')).map(({ key }) => key)
  const copy = (Key: string) =>
    client.send(new CopyObjectCommand({ Bucket: to, Key, CopySource: encodeURI(`${from}/${Key}`) }))
  await Promise.all(keys.map(copy))
  await Promise.all(keys.map((Key) => client.send(new DeleteObjectCommand({ Bucket: from, Key }))))
}

locations('pointing to a copy of the bucket: it is followed to the same repository, and to no other one', async () => {
  const four = await snapshotOf('four')
  await environment.s3.client.send(new CreateBucketCommand({ Bucket: 'fresh' }))
  await environment.api.apply(anywhere('third', () => {}, { bucket: 'fresh' }))
  const name = await askForDeletion(environment, four['status'].snapshotID, four['spec'].backupRepository)
  await untilReason(environment, 'DeleteSnapshot', 'velero', name, 'RepositoryMissing')
  await untilAvailable('third')
  await backUp('seven')
  assert.ok((await sentBy('seven')) > (await sentBy('one')) / 2, 'it has begun another repository')
  const differs = await untilReason(environment, 'DeleteSnapshot', 'velero', name, 'RepositoryDiffers')
  assert.is(differs['status'].phase, 'InProgress')

  await moveBucket(environment.s3.bucket, 'moved')
  await environment.api.apply(anywhere('third', () => {}, { bucket: 'moved' }))
  await assertForgotten(name)
  await untilFoundIn('third', 'six')
  await restoreOf('six', 'moved-six')
  await backUp('eight')
  await assertGoesOn('eight', 'one')
  await deleteOf('six')
  const { fcds } = await environment.vcenterState()
  assert.equal(
    fcds.flatMap(({ snapshots }) => snapshots),
    [],
  )
})

locations.run()
