// Bad input in requests, each row on the real API: a clear reason where the page says, nothing lost and nothing half-done.

import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { request } from '#test/environment/kubernetes/http.ts'
import { aSnapshot, type Backup, backUp, claimRepository, remove, restore, typeOf } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import {
  askForClone,
  askForDeletion,
  assertRefused,
  assertStanding,
  endOf,
  heldObjects,
  type Standing,
  settledStanding,
  untilReason,
  untilTold,
} from './support/bad-input.ts'
import { bindByHand } from './support/by-hand.ts'
import { sumOf } from './support/metrics.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const UUID = '11111111-2222-4333-8444-555555555555'

const badInput = suite('bad input in what is asked for')
let environment: Environment
let repository: string
let volume: Volume
let backup: Backup
let before: Standing

badInput.before(async () => {
  environment = await startEnvironment({
    env: { DORMOUSE_BIND_TIMEOUT_SECONDS: '5' },
    pingEveryMs: { 'dormouse-sweep': 2000 },
    idleMs: 120_000,
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('orders', 4 * MIB) }])
  backup = await backUp(environment, CLAIM, repository)
  before = await settledStanding(environment)
})
badInput.after(async () => {
  await environment.stop()
})

async function snapshotOf(namespace: string, claim: string, repositoryName = repository): Promise<LooseObject> {
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, { namespace, name: claim }, repositoryName))
  return await endOf(environment, 'Snapshot', namespace, name)
}

const csi = (driver: string, volumeHandle: string) => ({ csi: { driver, volumeHandle } })
const VOLUMES: [name: string, spec: Record<string, unknown>, reason: string, message: RegExp][] = [
  ['other-driver', csi('ebs.csi.aws.com', 'vol-1'), 'DriverUnsupported', /other-driver belongs to ebs\.csi\.aws\.com/],
  ['no-driver', { nfs: { server: '10.0.0.1', path: '/x' } }, 'DriverUnsupported', /no CSI driver/],
  [
    'file-share',
    csi('csi.vsphere.vmware.com', `file:${UUID}`),
    'FileVolumeUnsupported',
    /file share.*File System Backup/,
  ],
  [
    'shared',
    { ...csi('csi.vsphere.vmware.com', UUID), accessModes: ['ReadWriteMany'] },
    'AccessModeUnsupported',
    /shared is ReadWriteMany: only ReadWriteOnce/,
  ],
  ['lost-disk', csi('csi.vsphere.vmware.com', UUID), 'VolumeNotFound', /no configured vCenter knows disk/],
  ['odd-handle', csi('csi.vsphere.vmware.com', '../../etc'), 'VSphereIdInvalid', /etc/],
]

badInput('a volume that has no disk of vSphere behind it is refused by name', async () => {
  for (const [name, spec] of VOLUMES) await bindByHand(environment, { namespace: 'foreign', name }, spec)
  before = await settledStanding(environment)
  const assertVolume = async ([name, , reason, message]: (typeof VOLUMES)[number]) => {
    const snapshot = await snapshotOf('foreign', name)
    await assertRefused(environment, snapshot, { phase: 'SnapshotFailed', reason, message, condition: 'Snapshotted' })
  }
  await Promise.all(VOLUMES.map(assertVolume))
  const missing = await snapshotOf('foreign', 'nobody')
  const wanted = { phase: 'SnapshotFailed', reason: 'ClaimNotFound', message: /foreign\/nobody does not exist/ }
  await assertRefused(environment, missing, wanted)
})

const b64 = (text: string) => Buffer.from(text).toString('base64').replace(/=+$/, '')
const HOSTILE: [what: string, id: string][] = [
  ['no id', 'nonsense'],
  ['path parts', `pvc:shop/orders:${b64(`ivd:../../../etc:${UUID}`)}`],
  ['path parts of a disk', 'ivd:..%2f..:..'],
  ['a NUL', `pvc:shop/orders:${b64(`ivd:${UUID}\0:${UUID}`)}`],
  ['a bare NUL', `ivd:${UUID}\0:${UUID}`],
  ['no base64', 'pvc:shop/orders:!!!'],
  ['nested for ever', `pvc:a/b:${b64(`pvc:a/b:${b64(`pvc:a/b:${b64(`pvc:a/b:${b64('pvc:a/b:x')}`)}`)}`)}`],
  ['no snapshot', `ivd:${UUID}`],
]

badInput('a hostile snapshotID ends a restore and a deletion by name, and is shown cut and quoted', async () => {
  const metadata = backup.snapshot['status'].metadata
  const asked = await Promise.all(
    HOSTILE.map(async ([what, snapshotID]) => ({
      what,
      clone: await askForClone(environment, 'hostile', { snapshotID, metadata, repository }),
      deletion: await askForDeletion(environment, snapshotID, repository),
    })),
  )
  const wanted = { phase: 'Failed', reason: 'SnapshotIDInvalid', message: /cannot be used/ }
  for (const { clone, deletion } of asked) {
    await assertRefused(environment, await endOf(environment, 'CloneFromSnapshot', 'hostile', clone), wanted)
    await assertRefused(environment, await endOf(environment, 'DeleteSnapshot', 'velero', deletion), wanted)
  }
})

badInput('a hostile snapshotID of an Upload or a Download made by hand ends it by name', async () => {
  const hand = async (kind: 'Upload' | 'Download', name: string, snapshotID: string) => {
    const spec =
      kind === 'Upload'
        ? {
            snapshotID,
            backupRepository: repository,
            backupTimestamp: new Date().toISOString(),
            snapshotReference: 'a/b',
          }
        : {
            snapshotID,
            backupRepositoryName: repository,
            restoreTimestamp: new Date().toISOString(),
            protectedEntityID: `ivd:${volume.fcdId}`,
            clonefromSnapshotReference: 'a/b',
          }
    await environment.api.create({ ...typeOf(kind), metadata: { name, namespace: 'velero' }, spec })
  }
  const ids = HOSTILE.map(([, id]) => id)
  for (const [index, id] of ids.entries()) {
    await hand('Upload', `hostile-${index}`, id)
    await hand('Download', `hostile-${index}`, id)
  }
  for (const index of ids.keys()) {
    const upload = await endOf(environment, 'Upload', 'velero', `hostile-${index}`)
    const message = /cannot be used/
    await assertRefused(environment, upload, { phase: 'UploadFailedAfterRetry', reason: 'SnapshotIDInvalid', message })
    const download = await endOf(environment, 'Download', 'velero', `hostile-${index}`)
    await assertRefused(environment, download, { phase: 'Failed', reason: 'SnapshotIDInvalid', message })
  }
})

badInput('an id of one MiB is refused by the API server, and an id of another repository finds no backup', async () => {
  const long = `ivd:${'a'.repeat(MIB)}:${UUID}`
  const metadata = backup.snapshot['status'].metadata
  let refusal = ''
  await askForClone(environment, 'hostile', { snapshotID: long, metadata, repository }).catch((error: Error) => {
    refusal = error.message
  })
  assert.match(refusal, /Too long: may not be more than 2048/)

  const other = await claimRepository(environment, { prefix: 'other' })
  const { snapshotID } = backup.snapshot['status']
  const clone = await askForClone(environment, 'elsewhere', { snapshotID, metadata, repository: other })
  const message = /holds no sealed backup/
  const end = await endOf(environment, 'CloneFromSnapshot', 'elsewhere', clone)
  await assertRefused(environment, end, { phase: 'Failed', reason: 'BackupNotFound', message, condition: 'Restored' })
  const deletion = await endOf(
    environment,
    'DeleteSnapshot',
    'velero',
    await askForDeletion(environment, snapshotID, other),
  )
  assert.is(deletion['status'].phase, 'Completed', 'it is not there, which is what was asked for')
  assert.match(deletion['status'].message, /the repository holds no backup/)
})

badInput('unusable metadata or an unknown class ends a restore before a disk is made', async () => {
  const { snapshotID, metadata } = backup.snapshot['status']
  const stored = decodeClaimMetadata(metadata)
  const noClass = encodeClaimMetadata({ ...stored, spec: { ...stored['spec'], storageClassName: 'gone' } })
  const cases: [Parameters<typeof askForClone>[2], string, RegExp][] = [
    [{ snapshotID, repository }, 'MetadataInvalid', /spec\.metadata is empty/],
    [{ snapshotID, repository, metadata: Buffer.from('nonsense').toString('base64') }, 'MetadataInvalid', /metadata/],
    [{ snapshotID, repository, metadata, kind: 'Pod' }, 'ResourceKindUnsupported', /only PersistentVolumeClaim/],
    [{ snapshotID, repository: '', metadata }, 'LocalModeRestoreUnsupported', /backupRepository is empty/],
    [
      { snapshotID, repository, metadata: noClass },
      'StorageClassNotFound',
      /StorageClass gone does not exist: create it/,
    ],
  ]
  const assertWish = async ([wish, reason, message]: (typeof cases)[number]) => {
    const name = await askForClone(environment, 'refused', wish)
    const end = await endOf(environment, 'CloneFromSnapshot', 'refused', name)
    await assertRefused(environment, end, { phase: 'Failed', reason, message, condition: 'Restored' })
  }
  await Promise.all(cases.map(assertWish))
})

badInput('row 25: restoring twice leaves the first claim alone and says so', async () => {
  const { snapshotID, metadata } = backup.snapshot['status']
  const first = await restore(environment, backup, 'twice')
  await writePieces(first.volume.file, [{ offsetBytes: 8 * MIB, data: noise('newer', MIB) }])
  const [data, there] = [await sha256(first.volume.file), await settledStanding(environment)]
  const second = await askForClone(environment, 'twice', { snapshotID, metadata, repository })
  const end = await endOf(environment, 'CloneFromSnapshot', 'twice', second)
  const message = /twice\/orders exists: it is never overwritten; restore into another namespace/
  await assertRefused(environment, end, { phase: 'Failed', reason: 'TargetExists', message, condition: 'Restored' })
  await assertStanding(environment, there)
  assert.is(await sha256(first.volume.file), data)
  before = there
})

badInput('a target that is smaller than the backup is refused, and nothing is written to it', async () => {
  const small = await environment.createVolume({ namespace: 'small', name: 'orders', sizeBytes: 8 * MIB })
  const data = await sha256(small.file)
  const { snapshotID } = backup.snapshot['status']
  await environment.api.create({
    ...typeOf('Download'),
    metadata: { name: 'small', namespace: 'velero' },
    spec: {
      snapshotID: Buffer.from(snapshotID.split(':')[2], 'base64').toString(),
      backupRepositoryName: repository,
      restoreTimestamp: new Date().toISOString(),
      protectedEntityID: `ivd:${small.fcdId}`,
      clonefromSnapshotReference: 'small/none',
    },
  })
  const message = /the target disk has 8\.0 MiB, the backup needs 16\.0 MiB/
  const wanted = { phase: 'Failed', reason: 'TargetTooSmall', message }
  await assertRefused(environment, await endOf(environment, 'Download', 'velero', 'small'), wanted)
  assert.is(await sha256(small.file), data)
  before = await settledStanding(environment)
})

badInput(
  'a stored claim that asks for less than its backup gets a disk of the backup’s size, and asks for that',
  async () => {
    const { snapshotID, metadata } = backup.snapshot['status']
    const stored = decodeClaimMetadata(metadata)
    stored['spec'].resources = { requests: { storage: '8Mi' } }
    const clone = await askForClone(environment, 'smaller', {
      snapshotID,
      metadata: encodeClaimMetadata(stored),
      repository,
    })
    const end = await endOf(environment, 'CloneFromSnapshot', 'smaller', clone)
    assert.is(end['status'].phase, 'Completed', end['status'].message)
    const copy = await volumeOf(environment, 'smaller', 'orders')
    const { spec, status } = copy.claim
    assert.equal([spec.resources.requests.storage, status.capacity.storage], ['16Mi', '16Mi'])
    before = await settledStanding(environment)
  },
)

badInput('a namespace that the repository does not allow is kept out, of backups and of restores', async () => {
  const own = await claimRepository(environment, { prefix: 'own', allowedNamespaces: ['bank'] })
  const message = /does not allow the namespace shop: make a BackupRepositoryClaim/
  const refused = await snapshotOf(CLAIM.namespace, CLAIM.name, own)
  const reason = 'NamespaceNotAllowed'
  await assertRefused(environment, refused, { phase: 'SnapshotFailed', reason, message, condition: 'Snapshotted' })
  const { snapshotID, metadata } = backup.snapshot['status']
  const clone = await askForClone(environment, 'thief', { snapshotID, metadata, repository: own })
  const end = await endOf(environment, 'CloneFromSnapshot', 'thief', clone)
  await assertRefused(environment, end, {
    phase: 'Failed',
    reason,
    message: /does not allow the namespace thief/,
    condition: 'Restored',
  })
})

badInput('a repository that is not there is waited for, and cancelling leaves nothing', async () => {
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, CLAIM, 'br-nobody'))
  const waiting = await untilReason(environment, 'Snapshot', CLAIM.namespace, name, 'RepositoryNotFound')
  assert.match(waiting['status'].message, /BackupRepository br-nobody does not exist: was its claim deleted\?/)
  assert.is(waiting['status'].phase, 'UploadFailed')
  await untilTold(environment, 'Upload', 'velero', waiting['status'].uploadName, 'RepositoryNotFound')
  await environment.api.patch(
    { ...typeOf('Snapshot'), namespace: CLAIM.namespace, name },
    { spec: { snapshotCancel: true }, metadata: { labels: { 'dormouse.dev/step': 'snapshot' } } },
  )
  const end = await endOf(environment, 'Snapshot', CLAIM.namespace, name)
  assert.is(end['status'].phase, 'Canceled')
})

/** A valid name of `length` characters. */
const nameOf = (length: number) => `a${'.b'.repeat(length)}`.slice(0, length).replace(/\.$/, 'b')

badInput('names of 1 to 253 characters go through backup, restore and deletion, with their Events', async () => {
  const assertLength = async (length: number) => {
    const claim = { namespace: length === 1 ? 'n' : nameOf(63).replaceAll('.', '-'), name: nameOf(length) }
    const named = await environment.createVolume({ ...claim, sizeBytes: MIB })
    await writePieces(named.file, [{ offsetBytes: 0, data: noise(claim.name, 4096) }])
    await environment.api.create(aSnapshot(nameOf(length), claim, repository))
    const snapshot = await endOf(environment, 'Snapshot', claim.namespace, nameOf(length))
    assert.is(snapshot['status'].phase, 'Uploaded', snapshot['status'].message)
    const { snapshotID, metadata } = snapshot['status']
    const events = await environment.api.list('v1', 'Event', claim.namespace)
    const beside = events.filter((event) => event['involvedObject'].uid === snapshot.metadata.uid)
    assert.ok(beside.length > 0, `an Event beside a Snapshot with a name of ${length}`)
    const copy = `copy-${length}`
    await environment.createNamespace(copy)
    const spec = {
      snapshotID,
      metadata,
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      backupRepository: repository,
      cloneCancel: false,
    }
    await environment.api.create({
      ...typeOf('CloneFromSnapshot'),
      metadata: { name: nameOf(length), namespace: copy },
      spec,
    })
    const clone = await endOf(environment, 'CloneFromSnapshot', copy, nameOf(length))
    assert.is(clone['status'].phase, 'Completed', clone['status'].message)
    const deletion = { ...typeOf('DeleteSnapshot'), metadata: { name: nameOf(length), namespace: 'velero' } }
    await environment.api.create({ ...deletion, spec: { snapshotID, backupRepository: repository } })
    const gone = await endOf(environment, 'DeleteSnapshot', 'velero', nameOf(length))
    assert.is(gone['status'].phase, 'Completed', gone['status'].message)
  }
  await Promise.all([1, 63, 64, 200, 253].map(assertLength))
  before = await settledStanding(environment)
})

badInput('an Upload and a Download with names of 253 characters, made by hand, come to their end', async () => {
  const name = nameOf(253)
  const reference = { backupTimestamp: new Date().toISOString(), snapshotReference: `${CLAIM.namespace}/b` }
  const spec = { snapshotID: `ivd:${UUID}:${UUID}`, backupRepository: repository, ...reference }
  await environment.api.create({ ...typeOf('Upload'), metadata: { name, namespace: 'velero' }, spec })
  const upload = await endOf(environment, 'Upload', 'velero', name)
  const message = /no configured vCenter knows disk/
  await assertRefused(environment, upload, { phase: 'UploadFailedAfterRetry', reason: 'VolumeNotFound', message })
})

badInput('a request that is no CloudEvent is answered 400, logged and counted', async () => {
  const url = environment.activator.urlOf('dormouse-snapshot')
  const event = (change: Record<string, string>) => ({
    'ce-specversion': '1.0',
    'ce-id': '1',
    'ce-type': 'dev.knative.apiserver.ref.update',
    'ce-source': 'test',
    'ce-kind': 'Snapshot',
    'ce-apiversion': typeOf('Snapshot').apiVersion,
    'ce-name': 'x',
    'ce-namespace': 'shop',
    ...change,
  })
  const bad: [Record<string, string>, string][] = [
    [{}, ''],
    [{ 'content-type': 'application/cloudevents+json' }, '{"specversion":'],
    [event({ 'ce-name': '../../secrets/x' }), ''],
    [event({ 'ce-kind': 'Secret' }), ''],
    [event({ 'ce-namespace': 'a/b' }), ''],
  ]
  const count = async () =>
    sumOf((await environment.metricsOf('snapshot')).join('\n'), 'dormouse_requests_total', { outcome: 'bad event' })
  const counted = await count()
  for (const [headers, body] of bad) {
    const answer = await request(url, { method: 'POST', headers, body })
    assert.equal([answer.status, answer.text], [400, ''])
  }
  assert.is((await count()) - counted, bad.length)
  const folder = environment.parts.logFolder
  const names = (await readdir(folder)).filter((name) => name.startsWith('dormouse-snapshot-'))
  const log = (await Promise.all(names.map((name) => readFile(path.join(folder, name), 'utf8')))).join('\n')
  assert.ok(log.split('\n').filter((line) => line.includes('"BadEvent"')).length >= bad.length, 'each is logged')
})

badInput('nothing is left over, the data is what it was, and a good backup and restore go on', async () => {
  await until('nothing is held', async () => (await heldObjects(environment)).length === 0, 30_000)
  await assertStanding(environment, before)
  assert.is(await sha256(volume.file), await sha256((await restore(environment, backup, 'after-all')).volume.file))
  const again = await backUp(environment, CLAIM, repository)
  await remove(environment, again)
  assert.equal((await environment.vcenter.disk(volume.fcdId))?.snapshots, [])
  const never = await environment.api.list('v1', 'PersistentVolumeClaim')
  assert.equal(
    never.filter(({ metadata }) => metadata.name.startsWith('dormouse-')).map(({ metadata }) => metadata.name),
    [],
  )
})

badInput.run()
