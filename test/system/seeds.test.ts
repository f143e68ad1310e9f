// The example objects of the Velero Plugin for vSphere's documents are accepted unchanged. One that has ended starts nothing; one in progress
// continues.

import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { refOf } from '#test/environment/kubernetes/api.ts'
import { type Backup, backUp, claimRepository, typeOf } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }

const seeds = suite('the examples of the Velero Plugin for vSphere')
let environment: Environment
let repository: string
let volume: Volume
let backup: Backup

const example = (name: string) => parse(readFileSync(`test/fixtures/seed/${name}.yaml`, 'utf8')) as LooseObject

/** Creates the object with its status, as a backup tool would restore it, whatever the kind allows at creation. */
async function bringBack(object: LooseObject): Promise<LooseObject> {
  await environment.createNamespace(object.metadata.namespace ?? '')
  await environment.api.create(object)
  if (KINDS[object.kind as KindName].statusSubresource) {
    await environment.api.patch(refOf(object), { status: object['status'] }, 'status')
  }
  return (await environment.api.get(refOf(object))) as LooseObject
}

async function countOf(kind: KindName): Promise<number> {
  return (await environment.api.list(KINDS[kind].apiVersion, kind)).length
}

const isDone = (object: LooseObject | undefined) => object?.metadata.labels?.['dormouse.dev/step'] === 'done'

seeds.before(async () => {
  environment = await startEnvironment({
    adapters: false,
    env: { DORMOUSE_DUE_SECONDS: '1' },
    pingEveryMs: { 'dormouse-sweep': 1000 },
  })
})
seeds.after(async () => {
  await environment.stop()
})

seeds('all four are accepted with their status, and no field is lost', async () => {
  for (const name of ['snapshot', 'upload', 'clonefromsnapshot']) {
    const given = example(name)
    const stored = await bringBack(given)
    assert.equal(stored['spec'], given['spec'], name)
    for (const [field, value] of Object.entries(given['status']))
      assert.equal(stored['status'][field], value, `${name}.status.${field}`)
  }
})

seeds('an example that has ended starts nothing', async () => {
  const before = await environment.vcenterState()
  for (const name of ['snapshot', 'upload', 'clonefromsnapshot']) {
    const { kind, metadata, status } = example(name)
    const { object } = await environment.waitFor(kind as KindName, metadata.namespace, metadata.name, isDone, 60_000)
    assert.is(object['status'].phase, status.phase)
    assert.is(object['status'].message, status.message, 'nothing of the status is touched')
  }
  // The example itself ended long ago: the sweep may have removed its record by now.
  const uploads = await environment.api.list(KINDS.Upload.apiVersion, 'Upload')
  const { name } = example('upload').metadata
  assert.equal(
    uploads.filter(({ metadata }) => metadata.name !== name),
    [],
  )
  assert.is(await countOf('Download'), 0)
  assert.equal((await environment.vcenterState()).fcds, before.fcds, 'no disk, no snapshot')
})

seeds('an example in progress without a holder is continued, and says why it cannot end', async () => {
  const download = await bringBack(example('download'))
  const isTried = (object: LooseObject | undefined) => object?.['status']?.reason === 'RepositoryNotFound'
  const { object } = await environment.waitFor('Download', 'velero', download.metadata.name, isTried, 60_000)
  assert.is(object['status'].phase, 'Retry')
  assert.is(object['status'].retryCount, 1)
  assert.match(object['status'].message, /BackupRepository br-fa2b8bec-e99b-407a-9f95-dce31ff2bca6 does not exist/)
})

seeds('an upload and a download in progress, of disks that exist, are brought to their end', async () => {
  await environment.startAdapters()
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 16 * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('seed', 3 * MIB) }])
  backup = await backUp(environment, CLAIM, repository)
  const snapshotID: string = backup.upload['spec'].snapshotID
  const target = await environment.vcenter.createDisk({ name: 'target', capacityBytes: 16 * MIB })
  const { spec, status } = example('download')
  const name = 'download-resumed'
  await bringBack({
    ...typeOf('Download'),
    metadata: { name, namespace: 'velero' },
    spec: { ...spec, snapshotID, backupRepositoryName: repository, protectedEntityID: `ivd:${target.id}` },
    status,
  })
  const isOver = (object: LooseObject | undefined) => ['Completed', 'Failed'].includes(object?.['status']?.phase)
  const { object } = await environment.waitFor('Download', 'velero', name, isOver, 60_000)
  assert.is(object['status'].phase, 'Completed', object['status'].message)
  assert.is(object['status'].volumeID, `ivd:${target.id}`)
  assert.is(await sha256(target.path), await sha256(volume.file))
})

seeds.run()
