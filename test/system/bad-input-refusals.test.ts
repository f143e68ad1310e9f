// A store that refuses writes: no room, read-only, objects under a lock, an expired token. Work waits and gives the reason; nothing is
// reported as done, and nothing is lost; once the cause is gone, work continues without a restart.

import { randomUUID } from 'node:crypto'
import { CreateBucketCommand, PutObjectLockConfigurationCommand } from '@aws-sdk/client-s3'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import type { FaultPlan } from '#test/environment/faults/fault-plan.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { aSnapshot, backUp, claimRepository, restore } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { askForDeletion, endOf, hasEvent, retryNow, untilReason, untilTold } from './support/bad-input.ts'
import { claimWith, readyOf, untilReady } from './support/repository-claim.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }

const refusals = suite('a store that takes no more')
let environment: Environment
let plan: FaultPlan
let repository: string
let volume: Volume

refusals.before(async () => {
  environment = await startEnvironment({
    faults: true,
    idleMs: 60_000,
    pingEveryMs: { 'dormouse-sweep': 2000 },
    env: { DORMOUSE_DUE_SECONDS: '2' },
  })
  plan = environment.parts.faults!.plan
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('orders', 4 * MIB) }])
})
refusals.after(async () => {
  await environment.stop()
})

/** A refusal in the form of S3's errors, from a proxy: the real server here has no quota and issues no tokens. */
function refuse(point: RegExp, status: number, code: string): () => void {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>refused</Message></Error>`
  const answer = { status, headers: { 'content-type': 'application/xml' }, body }
  const rule = plan.add({ match: point, server: 's3', times: Number.POSITIVE_INFINITY, fault: { answer } })
  return () => {
    assert.ok(rule.hits() > 0, `nobody was refused with ${code}`)
    rule.remove()
  }
}

/** A backup of new data that waits with that reason. */
async function waitingBackup(reason: string, message: RegExp): Promise<{ name: string; upload: string }> {
  await writePieces(volume.file, [{ offsetBytes: 8 * MIB, data: noise(reason, MIB) }])
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, CLAIM, repository))
  const waits = await untilReason(environment, 'Snapshot', CLAIM.namespace, name, reason, 120_000)
  assert.is(waits['status'].phase, 'UploadFailed')
  assert.match(waits['status'].message, message, waits['status'].message)
  const upload: string = waits['status'].uploadName
  const object = await untilTold(environment, 'Upload', 'velero', upload, reason)
  assert.is(object['status'].phase, 'UploadError')
  return { name, upload }
}

/** The same backup continues, and holds what the volume holds. */
async function assertGoesOn({ name, upload }: { name: string; upload: string }, namespace: string): Promise<void> {
  await retryNow(environment, 'Upload', 'velero', upload)
  const snapshot = await endOf(environment, 'Snapshot', CLAIM.namespace, name)
  assert.is(snapshot['status'].phase, 'Uploaded', snapshot['status'].message)
  const copy = await restore(environment, { snapshot }, namespace)
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
  assert.equal((await environment.vcenter.disk(volume.fcdId))?.snapshots, [])
}

refusals('with a full store a backup waits and seals nothing, and continues when there is room', async () => {
  const roots = (await environment.bucketObjects('plugins/dormouse/roots/')).length
  const makeRoom = refuse(/: PUT packs\//, 507, 'XMinioStorageFull')
  const waiting = await waitingBackup('S3Full', /no room or its quota is used up: make room \(507 XMinioStorageFull\)/)
  assert.is((await environment.bucketObjects('plugins/dormouse/roots/')).length, roots)
  makeRoom()
  await assertGoesOn(waiting, 'after-full')
})

refusals('an expired session token is named, and the upload continues with the renewed one', async () => {
  const renew = refuse(/^upload mover: /, 400, 'ExpiredToken')
  const waiting = await waitingBackup('S3CredentialsExpired', /Secret cloud-credentials.* has expired: renew it/)
  renew()
  await assertGoesOn(waiting, 'after-expired')
})

refusals('with a read-only server restores work, backups wait, and no deletion is reported as done', async () => {
  const kept = await backUp(environment, CLAIM, repository)
  await environment.s3.down()
  await environment.s3.up({ readOnly: true })
  const objects = await environment.bucketObjects()
  const copy = await restore(environment, kept, 'from-read-only')
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
  const waiting = await waitingBackup('S3AccessDenied', /check the keys and the bucket's policy/)
  const { snapshotID } = kept.snapshot['status']
  const deletion = await askForDeletion(environment, snapshotID, repository)
  const stays = await untilTold(environment, 'DeleteSnapshot', 'velero', deletion, 'S3AccessDenied')
  assert.is(stays['status'].phase, 'InProgress')
  assert.equal(await environment.bucketObjects(), objects, 'nothing was written')
  await environment.s3.down()
  await environment.s3.up()
  await retryNow(environment, 'DeleteSnapshot', 'velero', deletion)
  assert.is((await endOf(environment, 'DeleteSnapshot', 'velero', deletion))['status'].phase, 'Completed')
  await assertGoesOn(waiting, 'after-read-only')
})

/** From now on, a lock protects each new object in the bucket for a day. */
async function lock(bucket: string): Promise<void> {
  await environment.s3.client.send(
    new PutObjectLockConfigurationCommand({
      Bucket: bucket,
      ObjectLockConfiguration: {
        ObjectLockEnabled: 'Enabled',
        Rule: { DefaultRetention: { Mode: 'COMPLIANCE', Days: 1 } },
      },
    }),
  )
}

refusals('a bucket whose objects are locked is named before anything is backed up into it', async () => {
  await environment.s3.client.send(new CreateBucketCommand({ Bucket: 'locked', ObjectLockEnabledForBucket: true }))
  await lock('locked')
  const claim = await untilReady(
    environment,
    await claimWith(environment, { bucket: 'locked' }),
    ({ status }) => status === 'False',
  )
  assert.is(readyOf(claim)?.reason, 'S3ObjectLocked')
  assert.match(readyOf(claim)?.message ?? '', /a lock \(retention or legal hold\) holds the object/)
  await until('an Event S3ObjectLocked', () => hasEvent(environment, claim, 'S3ObjectLocked'))
})

refusals('with a lock that is set later backups and restores work, and a deletion waits for its end', async () => {
  await environment.s3.client.send(new CreateBucketCommand({ Bucket: 'late', ObjectLockEnabledForBucket: true }))
  const { backupRepository: late } = (await untilReady(
    environment,
    await claimWith(environment, { bucket: 'late' }),
    ({ status }) => status === 'True',
  )) as LooseObject & Record<string, string>
  await lock('late')
  const held = await backUp(environment, CLAIM, late!)
  const deletion = await askForDeletion(environment, held.snapshot['status'].snapshotID, late!)
  const stays = await untilTold(environment, 'DeleteSnapshot', 'velero', deletion, 'S3ObjectLocked')
  assert.is(stays['status'].phase, 'InProgress')
  const copy = await restore(environment, held, 'from-locked')
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
})

refusals.run()
