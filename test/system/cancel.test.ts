// How long a cancel takes on the real API: 10 s while a slice runs, 15 s when nothing runs and an event or the sweep arrives. In a cluster
// the sweep runs every minute.

import { randomUUID } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { aSnapshot, type Backup, backUp, claimRepository, typeOf } from '#test/environment/main-job.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sideBySide } from '#test/support/side-by-side.ts'

const MIB = 2 ** 20
/** Slow enough that a transfer of 40 MiB takes several slices. */
const SLOW = { DORMOUSE_SLICE_SECONDS: '20', FAKE_VDDK_MBPS: '2' }
const WHILE_RUNNING_MS = 10_000
const BY_EVENT_MS = 15_000
const SWEEP_EVERY_MS = 10_000
const BY_SWEEP_MS = SWEEP_EVERY_MS + 15_000

const cancelling = suite('cancel')
let environment: Environment
let repository: string
/** A small backup of another claim, from which the restores begin. */
let letters: Backup

cancelling.before(async () => {
  environment = await startEnvironment({
    movers: 4,
    idleMs: 120_000,
    env: { ...SLOW, DORMOUSE_DUE_SECONDS: '1' },
    pingEveryMs: { 'dormouse-sweep': 0 },
  })
  repository = await claimRepository(environment)
  await aVolume('letters', 24)
  letters = await backUp(environment, { namespace: 'shop', name: 'letters' }, repository)
})
cancelling.after(async () => {
  await environment.stop()
})

const phaseOf = (object: LooseObject | undefined) => object?.['status']?.phase
const isDone = (object: LooseObject | undefined) => object?.metadata.labels?.['dormouse.dev/step'] === 'done'

async function read(kind: KindName, namespace: string, name: string): Promise<LooseObject> {
  const object = await environment.api.get({ ...typeOf(kind), namespace, name })
  assert.ok(object, `${kind} ${namespace}/${name}`)
  return object
}

async function aVolume(name: string, mib: number): Promise<Volume> {
  const volume = await environment.createVolume({ namespace: 'shop', name, sizeBytes: 64 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise(name, mib * MIB) }])
  return volume
}

/** Begins a backup of a new claim and waits until its Upload has moved some data. */
async function runningBackup(claim: string): Promise<{ name: string; upload: string; disk: string }> {
  const { fcdId: disk } = await aVolume(claim, 60)
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, { namespace: 'shop', name: claim }, repository))
  const isNamed = (object: LooseObject | undefined) => Boolean(object?.['status']?.uploadName)
  const { object } = await environment.waitFor('Snapshot', 'shop', name, isNamed)
  const upload: string = object['status'].uploadName
  const isMoving = (seen: LooseObject | undefined) => seen?.['status']?.progress?.bytesRead > 0
  await environment.waitFor('Upload', 'velero', upload, isMoving)
  return { name, upload, disk }
}

function aClone(namespace: string, name: string, snapshot = letters.snapshot): LooseObject {
  const { spec, status } = snapshot as LooseObject & Record<'spec' | 'status', Record<string, string>>
  return {
    ...typeOf('CloneFromSnapshot'),
    metadata: { name, namespace },
    spec: {
      snapshotID: status['snapshotID'],
      metadata: status['metadata'],
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      backupRepository: spec['backupRepository'],
      cloneCancel: false,
    },
  }
}

/** Patches the field, and measures until the object has that `phase` and is done. */
async function cancel(kind: KindName, namespace: string, name: string, field: string, limitMs: number) {
  const startMs = performance.now()
  await environment.kubectl(
    'patch',
    `${kind.toLowerCase()}s.${typeOf(kind).apiVersion.split('/')[0]}`,
    name,
    '-n',
    namespace,
    '--type=merge',
    '-p',
    JSON.stringify({ spec: { [field]: true } }),
  )
  const { object } = await environment.waitFor(kind, namespace, name, isDone, limitMs + 30_000)
  const tookMs = performance.now() - startMs
  assert.is(phaseOf(object), 'Canceled', JSON.stringify(object['status']))
  assert.ok(tookMs <= limitMs, `${kind} took ${Math.round(tookMs)} ms, want ${limitMs} at most`)
  return object
}

async function assertVcenterIsClean(disk: string): Promise<void> {
  assert.equal((await environment.vcenter.disk(disk))?.snapshots, [])
  assert.not((await environment.heldDisks()).includes(disk), 'kept from migrating')
}

/** Transfers run side by side; cancels are measured one at a time. */
let measured: Promise<unknown> = Promise.resolve()
const oneAtATime = async <T>(measure: () => Promise<T>): Promise<T> => {
  const mine = measured.then(measure)
  measured = mine.catch(() => undefined)
  return await mine
}

const atOnce = sideBySide(cancelling)

atOnce('a Snapshot and its Upload are Canceled within 10 s while a slice runs', async () => {
  const { name, upload, disk } = await runningBackup('orders')
  await oneAtATime(() => cancel('Snapshot', 'shop', name, 'snapshotCancel', WHILE_RUNNING_MS))
  assert.is(phaseOf(await read('Upload', 'velero', upload)), 'Canceled')
  await assertVcenterIsClean(disk)
})

atOnce('an Upload and its Snapshot are Canceled within 10 s while a slice runs', async () => {
  const { name, upload, disk } = await runningBackup('invoices')
  await oneAtATime(() => cancel('Upload', 'velero', upload, 'uploadCancel', WHILE_RUNNING_MS))
  await environment.waitFor('Snapshot', 'shop', name, (object) => phaseOf(object) === 'Canceled', 5000)
  await assertVcenterIsClean(disk)
})

atOnce('row 32: a DeleteSnapshot of a running backup is Completed only after the backup was stopped', async () => {
  const { name, upload, disk } = await runningBackup('stock')
  const { snapshotID } = (await read('Snapshot', 'shop', name))['status']
  await environment.api.create({
    ...typeOf('DeleteSnapshot'),
    metadata: { name, namespace: 'velero' },
    spec: { snapshotID, backupRepository: repository },
  })
  const isOver = (object: LooseObject | undefined) => ['Completed', 'Failed'].includes(phaseOf(object))
  const { object } = await environment.waitFor('DeleteSnapshot', 'velero', name, isOver)
  assert.is(phaseOf(object), 'Completed')
  const stopped = await read('Upload', 'velero', upload)
  assert.is(phaseOf(stopped), 'Canceled')
  assert.ok(stopped['status'].completionTimestamp <= object['status'].completionTimestamp)
  await environment.waitFor('Snapshot', 'shop', name, (seen) => phaseOf(seen) === 'Canceled', 5000)
  await assertVcenterIsClean(disk)
  await environment.createNamespace('nowhere')
  await environment.api.create(aClone('nowhere', 'clone-0', await read('Snapshot', 'shop', name)))
  const { object: clone } = await environment.waitFor('CloneFromSnapshot', 'nowhere', 'clone-0', isDone)
  assert.equal([phaseOf(clone), clone['status'].reason], ['Failed', 'BackupNotFound'], 'no backup was sealed')
})

cancelling(
  'a CloneFromSnapshot is Canceled within 10 s while a slice runs: no claim, no disk, a Failed Download',
  async () => {
    await environment.createNamespace('back')
    await environment.api.create(aClone('back', 'clone-1'))
    const { object } = await environment.waitFor('CloneFromSnapshot', 'back', 'clone-1', (seen) =>
      Boolean(seen?.['status']?.downloadName),
    )
    const { downloadName, volumeID } = object['status']
    const staged: string = volumeID.slice('ivd:'.length)
    assert.ok(await environment.vcenter.disk(staged), 'the staged disk is there')
    await environment.waitFor('Download', 'velero', downloadName, (seen) => phaseOf(seen) === 'InProgress')
    await new Promise((resolve) => setTimeout(resolve, 1000)) // 24 MiB take 12 s
    await cancel('CloneFromSnapshot', 'back', 'clone-1', 'cloneCancel', WHILE_RUNNING_MS)
    const download = (await read('Download', 'velero', downloadName))['status']
    assert.equal([download.phase, download.reason], ['Failed', 'Canceled'])
    await assertNoClaimLeft('back', staged)
  },
)

/** Waits until the claim and its disk, which the driver deletes, are gone. */
async function assertNoClaimLeft(namespace: string, staged: string): Promise<void> {
  assert.equal(await environment.api.list('v1', 'PersistentVolumeClaim', namespace), [])
  const isGone = async () => (await environment.vcenter.disk(staged)) === undefined
  await until('the staged disk is gone', isGone, 15_000)
}

cancelling('a Snapshot that waits for vCenter is Canceled within 15 s by its event', async () => {
  // The label is set again and again: while its due step is announced, nothing holds the object back.
  await environment.vcenter.delay('VslmCreateSnapshot', 3000)
  const { fcdId } = await aVolume('late', 1)
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, { namespace: 'shop', name: 'late' }, repository))
  await environment.waitFor('Snapshot', 'shop', name, (seen) => seen?.['status']?.task !== undefined)
  await cancel('Snapshot', 'shop', name, 'snapshotCancel', BY_EVENT_MS)
  await environment.vcenter.delay('VslmCreateSnapshot', 0)
  await assertVcenterIsClean(fcdId)
})

cancelling(
  'by the sweep alone a backup in back-off and a restore in back-off are Canceled within 15 s of it',
  async () => {
    await environment.stopAdapters()
    const sweeping = setInterval(() => void environment.ping('dormouse-sweep').catch(() => {}), SWEEP_EVERY_MS)
    try {
      const waiting = await inBackOff()
      await environment.s3.up()
      const [snapshot] = await Promise.all([
        cancel('Snapshot', 'shop', waiting.snapshot, 'snapshotCancel', BY_SWEEP_MS),
        cancel('CloneFromSnapshot', 'back', waiting.clone, 'cloneCancel', BY_SWEEP_MS),
      ])
      assert.is(phaseOf(await read('Upload', 'velero', snapshot['status'].uploadName)), 'Canceled')
      assert.equal(await environment.api.list('v1', 'PersistentVolumeClaim', 'back'), [])
      for (const disk of (await environment.vcenterState()).fcds) assert.equal(disk.snapshots, [], disk.name)
      assert.equal(await environment.heldDisks(), [], 'kept from migrating')
    } finally {
      clearInterval(sweeping)
    }
  },
)

/** With the bucket away, both transfers fail and wait a minute or more for the next attempt; no event wakes them. */
async function inBackOff(): Promise<{ snapshot: string; clone: string }> {
  await environment.s3.down()
  const [snapshot, clone] = [`snap-${randomUUID()}`, 'clone-2']
  await environment.api.create(aSnapshot(snapshot, { namespace: 'shop', name: 'orders' }, repository))
  await environment.api.create(aClone('back', clone))
  const wake = setInterval(() => void environment.ping('dormouse-sweep').catch(() => {}), 1500)
  try {
    await environment.waitFor('Snapshot', 'shop', snapshot, (seen) => phaseOf(seen) === 'UploadFailed', 240_000)
    const isNamed = (seen: LooseObject | undefined) => Boolean(seen?.['status']?.downloadName)
    const { object } = await environment.waitFor('CloneFromSnapshot', 'back', clone, isNamed, 240_000)
    const isRetry = (seen: LooseObject | undefined) => phaseOf(seen) === 'Retry'
    await environment.waitFor('Download', 'velero', object['status'].downloadName, isRetry, 240_000)
  } finally {
    clearInterval(wake)
  }
  return { snapshot, clone }
}

cancelling.run()
