// Bad input around the object store, each row on the real API and a real S3 server: credentials, keys, buckets, locations, and
// objects with changed bytes. No damaged data is handed over, nothing is lost, and work continues without a restart after the repair.

import { randomUUID } from 'node:crypto'
import { CreateBucketCommand, DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parametersFromLocation } from '#shared/repository/stores/s3/parameters.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { aSnapshot, type Backup, backUp, claimRepository, remove, restore, typeOf } from '#test/environment/main-job.ts'
import { CREDENTIALS_SECRET, REPOSITORY_SECRET, secret } from '#test/environment/seed.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { aLocation } from '#test/environment/storage/location.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import {
  askForClone,
  askForDeletion,
  assertRefused,
  assertStanding,
  endOf,
  hasEvent,
  retryNow,
  type Standing,
  settledStanding,
  standing,
  untilReason,
  untilTold,
} from './support/bad-input.ts'
import { claimWith, readyOf, untilReady } from './support/repository-claim.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }

const badStore = suite('bad input around the object store')
let environment: Environment
let repository: string
let volume: Volume
let backup: Backup
let before: Standing

badStore.before(async () => {
  environment = await startEnvironment({
    idleMs: 60_000,
    pingEveryMs: { 'dormouse-sweep': 2000 },
    env: { DORMOUSE_DUE_SECONDS: '2' },
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('orders', 4 * MIB) }])
  backup = await backUp(environment, CLAIM, repository)
  before = await settledStanding(environment)
})
badStore.after(async () => {
  await environment.stop()
})

/** Condition and Event of the claim give the reason and the fix; so does the BackupRepository. */
async function assertNotReady(name: string, reason: string, message: RegExp): Promise<void> {
  const claim = await untilReady(environment, name, (ready) => ready.status === 'False' && ready.reason === reason)
  assert.match(readyOf(claim)?.message ?? '', message)
  assert.ok(await hasEvent(environment, claim, reason), `an Event ${reason}`)
  const shown = await environment.api.get({ ...typeOf('BackupRepository'), name: claim['backupRepository'] })
  assert.is(readyOf(shown)?.reason, reason)
}

/** Like retryNow, for a claim. */
async function lookAgain(name: string): Promise<string> {
  const annotations = { 'dormouse.dev/due': new Date().toISOString() }
  const labels = { 'dormouse.dev/step': 'repository' }
  await environment.api.patch(
    { ...typeOf('BackupRepositoryClaim'), namespace: 'velero', name },
    { metadata: { labels, annotations } },
  )
  return (await untilReady(environment, name, (ready) => ready.status === 'True'))['backupRepository']
}

badStore('credentials of the store that are wrong or missing are named, and rotated ones need no restart', async () => {
  const { s3 } = environment
  const wrong = s3.credentialsText().replace(s3.secretAccessKey, 'x'.repeat(40))
  const apply = async (text: string) => void (await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: text })))
  const cases: [text: string, reason: string, message: RegExp][] = [
    [wrong, 'S3AccessDenied', /Secret cloud-credentials/],
    [s3.credentialsText().replace('[default]', '[other]'), 'CredentialsInvalid', /default/],
    ['nonsense', 'CredentialsInvalid', /cloud-credentials/],
  ]
  for (const [text, reason, message] of cases) {
    await apply(text)
    const name = await claimWith(environment, { prefix: `wrong-${randomUUID()}` })
    await assertNotReady(name, reason, message)
    await apply(s3.credentialsText())
    await lookAgain(name)
  }
  await environment.api.delete({ apiVersion: 'v1', kind: 'Secret', namespace: 'velero', name: CREDENTIALS_SECRET })
  const name = await claimWith(environment, { prefix: 'missing' })
  await assertNotReady(name, 'SecretMissing', /Secret cloud-credentials .* does not exist: create it/)
  await apply(s3.credentialsText())
  await lookAgain(name)
})

badStore(
  'a credentials file as people write it opens the repository: key: value, a stray line, a profile of a config file',
  async () => {
    const { s3 } = environment
    const { accessKeyId, secretAccessKey } = s3
    const texts = [
      `[default]\naws_access_key_id: ${accessKeyId}\naws_secret_access_key: ${secretAccessKey}\n`,
      `${s3.credentialsText()}the end\n`,
      `[profile default]\n  aws_access_key_id = ${accessKeyId}\n  aws_secret_access_key = ${secretAccessKey}\n`,
    ]
    for (const text of texts) {
      await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: text }))
      const name = await claimWith(environment, { prefix: `odd-${randomUUID()}` })
      await untilReady(environment, name, (ready) => ready.status === 'True')
    }
    await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: s3.credentialsText() }))
  },
)

badStore('region, checksum algorithm and prefix that no client can use are named', async () => {
  for (const [parameters, message] of [
    [{ region: 'us_east' }, /repository parameter region: "us_east" is no region/],
    [{ checksumAlgorithm: 'crc32' }, /repository parameter checksumAlgorithm: "crc32" is not known/],
    [{ prefix: 'a/../../b' }, /repository parameter prefix: .* leads out of itself/],
  ] as const) {
    const name = await claimWith(environment, parameters)
    await assertNotReady(name, 'RepositoryParametersInvalid', message)
  }
  const fips = await claimWith(environment, { region: 'fips-us-east-1' })
  await assertNotReady(fips, 'RepositoryParametersInvalid', /region "fips-us-east-1", bucket .* and s3Url/)
})

badStore('a backup waits when its credentials stop working, and continues with new ones', async () => {
  const { s3 } = environment
  const wrong = s3.credentialsText().replace(s3.secretAccessKey, 'x'.repeat(40))
  await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: wrong }))
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, CLAIM, repository))
  const failed = await untilReason(environment, 'Snapshot', CLAIM.namespace, name, 'S3AccessDenied')
  assert.is(failed['status'].phase, 'UploadFailed')
  await untilTold(environment, 'Upload', 'velero', failed['status'].uploadName, 'S3AccessDenied')
  await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: s3.credentialsText() }))
  await retryNow(environment, 'Upload', 'velero', failed['status'].uploadName)
  const end = await endOf(environment, 'Snapshot', CLAIM.namespace, name)
  assert.is(end['status'].phase, 'Uploaded', end['status'].message)
  await remove(environment, { ...backup, snapshot: end })
})

badStore(
  'with a wrong or missing encryption key nothing is opened or written; with the right one work continues',
  async () => {
    const { password, recoveryPassphrase } = environment.parts.repositoryKey
    const objects = await environment.bucketObjects()
    const ref = { apiVersion: 'v1', kind: 'Secret', namespace: 'velero', name: REPOSITORY_SECRET }
    const right = secret(REPOSITORY_SECRET, { password, 'recovery-passphrase': recoveryPassphrase })
    await environment.api.apply(secret(REPOSITORY_SECRET, { password: 'wrong', 'recovery-passphrase': 'wrong too' }))
    const wrong = await claimWith(environment, {})
    await assertNotReady(wrong, 'RepositoryKeyWrong', /none of/)
    const { snapshotID, metadata } = backup.snapshot['status']
    const clone = await askForClone(environment, 'keyless', { snapshotID, metadata, repository })
    const made = (object: LooseObject | undefined) => object?.['status']?.downloadName !== undefined
    const { object } = await environment.waitFor('CloneFromSnapshot', 'keyless', clone, made)
    const download: string = object['status'].downloadName
    await untilTold(environment, 'Download', 'velero', download, 'RepositoryKeyWrong')
    await environment.api.delete(ref)
    const missing = await claimWith(environment, {})
    await assertNotReady(missing, 'RepositoryKeyMissing', /Dormouse never makes one up, create it/)
    assert.equal(await environment.bucketObjects(), objects)
    await environment.api.apply(right)
    await lookAgain(wrong)
    await lookAgain(missing)
    await retryNow(environment, 'Download', 'velero', download)
    assert.is((await endOf(environment, 'CloneFromSnapshot', 'keyless', clone))['status'].phase, 'Completed')
    before = await settledStanding(environment)
  },
)

badStore('a bucket that does not exist is named and never created', async () => {
  const name = await claimWith(environment, { bucket: 'nobody' })
  await assertNotReady(name, 'BucketMissing', /nobody/)
  await environment.s3.client.send(new CreateBucketCommand({ Bucket: 'nobody' }))
  await lookAgain(name)
})

/** A location and the BackupRepository of a claim that was made from it. */
async function locationWith(name: string, bucket: string): Promise<string> {
  const location = aLocation(environment.s3, name, { bucket })
  await environment.api.apply(location)
  const claim = await claimWith(environment, parametersFromLocation(location))
  return (await untilReady(environment, claim, (ready) => ready.status === 'True'))['backupRepository']
}

badStore('row 44: of several locations each keeps its own backups, in its own bucket', async () => {
  const buckets = ['north', 'south']
  for (const bucket of buckets) await environment.s3.client.send(new CreateBucketCommand({ Bucket: bucket }))
  const own = await environment.bucketObjects()
  const repositories = [await locationWith('north', 'north'), await locationWith('south', 'south')]
  const backups: Backup[] = []
  for (const [index, name] of repositories.entries()) {
    await writePieces(volume.file, [{ offsetBytes: 8 * MIB, data: noise(buckets[index]!, MIB) }])
    backups.push(await backUp(environment, CLAIM, name))
  }
  assert.equal(await environment.bucketObjects(), own, 'nothing of them went elsewhere')
  for (const [index, one] of backups.entries()) {
    const copy = await restore(environment, one, `from-${buckets[index]}`)
    await writePieces(volume.file, [{ offsetBytes: 8 * MIB, data: noise(buckets[index]!, MIB) }])
    assert.is(await sha256(copy.volume.file), await sha256(volume.file))
    const { snapshotID, metadata } = one.snapshot['status']
    const other = repositories[1 - index]!
    const lost = await askForClone(environment, `not-${index}`, { snapshotID, metadata, repository: other })
    const end = await endOf(environment, 'CloneFromSnapshot', `not-${index}`, lost)
    assert.is(end['status'].reason, 'BackupNotFound')
  }
  before = await settledStanding(environment)
})

badStore(
  'a ReadOnly location restores, refuses backups before anything is made, and waits with deletions',
  async () => {
    const name = await locationWith('frozen', 'dormouse')
    const kept = await backUp(environment, CLAIM, name)
    await environment.api.apply(aLocation(environment.s3, 'frozen', { accessMode: 'ReadOnly' }))
    const objects = await environment.bucketObjects('frozen/')

    const snapshotName = `snap-${randomUUID()}`
    await environment.api.create(aSnapshot(snapshotName, CLAIM, name))
    const refused = await endOf(environment, 'Snapshot', CLAIM.namespace, snapshotName)
    const message = /BackupStorageLocation frozen has spec\.accessMode ReadOnly: set it to ReadWrite/
    const wanted = { phase: 'SnapshotFailed', reason: 'LocationReadOnly', message, condition: 'Snapshotted' }
    await assertRefused(environment, refused, wanted)
    await assertStanding(environment, before)

    const deletion = await askForDeletion(environment, kept.snapshot['status'].snapshotID, name)
    const waits = await untilTold(environment, 'DeleteSnapshot', 'velero', deletion, 'LocationReadOnly')
    assert.is(waits['status'].phase, 'InProgress')
    const onlyRead = await claimWith(environment, parametersFromLocation(aLocation(environment.s3, 'frozen')))
    await untilReady(environment, onlyRead, (ready) => ready.status === 'True')
    const copy = await restore(environment, kept, 'thawed')
    assert.is(await sha256(copy.volume.file), await sha256(volume.file))
    assert.equal(await environment.bucketObjects('frozen/'), objects, 'nothing was written')

    await environment.api.apply(aLocation(environment.s3, 'frozen'))
    await retryNow(environment, 'DeleteSnapshot', 'velero', deletion)
    assert.is((await endOf(environment, 'DeleteSnapshot', 'velero', deletion))['status'].phase, 'Completed')
    before = await settledStanding(environment)
  },
)

badStore('a location that is gone takes no backups and no deletions, and its backups can be restored', async () => {
  const name = await locationWith('passing', 'dormouse')
  const kept = await backUp(environment, CLAIM, name)
  await environment.api.delete({ ...typeOf('BackupStorageLocation'), namespace: 'velero', name: 'passing' })
  const snapshotName = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(snapshotName, CLAIM, name))
  const waits = await untilReason(environment, 'Snapshot', CLAIM.namespace, snapshotName, 'LocationMissing')
  assert.is(waits['status'].phase, 'New')
  assert.match(waits['status'].message, /BackupStorageLocation passing does not exist.*create one that does/)
  assert.equal((await environment.vcenter.disk(volume.fcdId))?.snapshots, [], 'no disk snapshot meanwhile')
  const copy = await restore(environment, kept, 'without-location')
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
  await environment.api.apply(aLocation(environment.s3, 'passing'))
  await retryNow(environment, 'Snapshot', CLAIM.namespace, snapshotName)
  const end = await endOf(environment, 'Snapshot', CLAIM.namespace, snapshotName)
  assert.is(end['status'].phase, 'Uploaded', end['status'].message)
  before = await settledStanding(environment)
})

const keysBelow = async (prefix: string) => (await environment.bucketObjects(prefix)).map(({ key }) => key)
async function read(key: string): Promise<Uint8Array> {
  const answer = await environment.s3.client.send(new GetObjectCommand({ Bucket: 'dormouse', Key: key }))
  return await answer.Body!.transformToByteArray()
}
const write = async (key: string, body: Uint8Array) =>
  void (await environment.s3.client.send(new PutObjectCommand({ Bucket: 'dormouse', Key: key, Body: body })))
const erase = async (key: string) =>
  void (await environment.s3.client.send(new DeleteObjectCommand({ Bucket: 'dormouse', Key: key })))

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[at] = copy[at]! ^ 1
  return copy
}

/** Applies `damage` before a restore; the Download must show `reason`; after the repair, the same restore ends well. */
async function assertDamageIsSeen(
  what: string,
  keys: string[],
  damage: () => Promise<void>,
  reason: RegExp,
): Promise<void> {
  const good = await Promise.all(keys.map(async (key) => [key, await read(key)] as const))
  const namespace = `damaged-${what}`
  await damage()
  const { snapshotID, metadata } = damaged.snapshot['status']
  const wish = { snapshotID, metadata, repository: damaged.snapshot['spec'].backupRepository }
  const clone = await askForClone(environment, namespace, wish)
  const made = (object: LooseObject | undefined) => object?.['status']?.downloadName !== undefined
  const name: string = (await environment.waitFor('CloneFromSnapshot', namespace, clone, made)).object['status']
    .downloadName
  const retries = (object: LooseObject | undefined) => object?.['status']?.phase === 'Retry'
  const { object } = await environment.waitFor('Download', 'velero', name, retries)
  assert.match(object['status'].reason, reason, `${what}: ${object['status'].message}`)
  assert.match(object['status'].message, /damaged\/plugins\/dormouse/, 'the object is named')
  await untilTold(environment, 'Download', 'velero', name, object['status'].reason)
  const target = await environment.api.get({ ...typeOf('PersistentVolumeClaim'), namespace, name: CLAIM.name })
  assert.is(target, undefined, 'nothing is handed over')
  for (const [key, body] of good) await write(key, body)
  await retryNow(environment, 'Download', 'velero', name)
  const end = await endOf(environment, 'CloneFromSnapshot', namespace, clone)
  assert.is(end['status'].phase, 'Completed', `${what}: ${end['status'].message}`)
  const copy = await volumeOf(environment, namespace, CLAIM.name)
  assert.is(await sha256(copy.file), damagedHash, what)
}
let damaged: Backup
let damagedHash: string

badStore(
  'a chunk, page or root that is changed, cut, missing or swapped is never restored; mended, the same restore ends',
  async () => {
    const own = await claimRepository(environment, { prefix: 'damaged' })
    damaged = await backUp(environment, CLAIM, own)
    damagedHash = await sha256(volume.file)
    const other = await environment.createVolume({ namespace: 'shop', name: 'other', sizeBytes: 16 * MIB })
    await writePieces(other.file, [{ offsetBytes: MIB, data: noise('other', 2 * MIB) }])
    const packs = (await environment.bucketObjects('damaged/plugins/dormouse/packs/')).sort((a, b) => b.bytes - a.bytes)
    const roots = await keysBelow('damaged/plugins/dormouse/roots/')
    // The large pack holds chunks; the small one, which is written last, holds pages.
    const [pack, page, root] = [packs[0]!.key, packs.at(-1)!.key, roots[0]!]
    await backUp(environment, { namespace: 'shop', name: 'other' }, own)
    const isNew = (key: string) => !packs.some((known) => known.key === key)
    const [otherPack] = (await keysBelow('damaged/plugins/dormouse/packs/')).filter(isNew)
    const [otherRoot] = (await keysBelow('damaged/plugins/dormouse/roots/')).filter((key) => !roots.includes(key))
    const [body, pages] = [await read(pack), await read(page)]
    await assertDamageIsSeen('chunk', [pack], () => write(pack, flipped(body, body.length >> 2)), /^ChunkCorrupt$/)
    const cut = async () => write(pack, body.subarray(0, body.length >> 1))
    await assertDamageIsSeen('cut', [pack], cut, /^Chunk(Corrupt|Missing)$/)
    await assertDamageIsSeen('gone', [pack], () => erase(pack), /^ChunkMissing$/)
    await assertDamageIsSeen(
      'swapped',
      [pack],
      async () => write(pack, await read(otherPack!)),
      /^Chunk(Corrupt|Missing)$/,
    )
    await assertDamageIsSeen('page', [page], () => write(page, flipped(pages, pages.length >> 1)), /^PageCorrupt$/)
    await assertDamageIsSeen('page-gone', [page], () => erase(page), /^PageMissing$/)
    const rootBody = await read(root)
    await assertDamageIsSeen('root', [root], () => write(root, flipped(rootBody, rootBody.length - 1)), /^RootCorrupt$/)
    const swapRoot = async () => write(root, await read(otherRoot!))
    await assertDamageIsSeen('swapped-root', [root], swapRoot, /^RootCorrupt$/)
  },
)

badStore('a missing root ends the restore with a reason, and a later restore works once the root is back', async () => {
  const [root] = (await keysBelow('damaged/plugins/dormouse/roots/')).filter((key) =>
    key.includes(damaged.upload['status'].session),
  )
  const body = await read(root!)
  const there = await settledStanding(environment)
  await erase(root!)
  const { snapshotID, metadata } = damaged.snapshot['status']
  const wish = { snapshotID, metadata, repository: damaged.snapshot['spec'].backupRepository }
  const end = await endOf(
    environment,
    'CloneFromSnapshot',
    'rootless',
    await askForClone(environment, 'rootless', wish),
  )
  const message = /holds no sealed backup/
  await assertRefused(environment, end, { phase: 'Failed', reason: 'BackupNotFound', message, condition: 'Restored' })
  await assertStanding(environment, there)
  await write(root!, body)
  assert.is(await sha256((await restore(environment, damaged, 'rooted')).volume.file), damagedHash)
})

badStore('an index that is changed or missing costs neither a restore nor the next backup', async () => {
  for (const key of await keysBelow('damaged/plugins/dormouse/index/')) {
    const body = await read(key)
    await write(key, flipped(body, body.length >> 1))
  }
  assert.is(await sha256((await restore(environment, damaged, 'no-index')).volume.file), damagedHash)
  const next = await backUp(environment, CLAIM, damaged.snapshot['spec'].backupRepository)
  assert.is(await sha256((await restore(environment, next, 'no-index-next')).volume.file), await sha256(volume.file))
  for (const key of await keysBelow('damaged/plugins/dormouse/index/')) await erase(key)
  const last = await backUp(environment, CLAIM, damaged.snapshot['spec'].backupRepository)
  assert.is(await sha256((await restore(environment, last, 'index-gone')).volume.file), await sha256(volume.file))
})

badStore('a changed config opens nothing until it is repaired', async () => {
  const key = 'damaged/plugins/dormouse/config'
  const body = await read(key)
  await write(key, flipped(body, body.length - 2))
  const name = await claimWith(environment, { prefix: 'damaged' })
  await assertNotReady(name, 'RepositoryConfigCorrupt', /config/)
  await erase(key)
  const second = await claimWith(environment, { prefix: 'damaged' })
  await assertNotReady(second, 'RepositoryConfigMissing', /damaged/)
  await write(key, body)
  await lookAgain(name)
  await lookAgain(second)
})

badStore('afterwards a good backup and restore work, and no disk has a snapshot left', async () => {
  const again = await backUp(environment, CLAIM, repository)
  assert.is(await sha256((await restore(environment, again, 'after-all')).volume.file), await sha256(volume.file))
  assert.equal((await standing(environment)).snapshots, [])
})

badStore.run()
