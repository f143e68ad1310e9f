// Velero's CSI actions, which Velero calls first: the disk gets into the bucket once, whichever action does it, and a restore has one source.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcBackupper } from '../../../velero/actions/backupper.ts'
import { storedSnapshot } from '../../../velero/domain/blob.ts'
import { withoutCsiMarks } from '../../../velero/domain/csi.ts'
import { aBackup, aClaim, aReadyWorld, BACKUP_UID, rejects, type World } from './support.ts'

const csi = suite("beside Velero's CSI actions")

const MARK = 'velero.io/volume-snapshot-name'
const UPLOAD = 'velero.io/data-upload-name'

/** The claim as the CSI action returns it. */
function marked({ backup = 'nightly', upload = '' } = {}): LooseObject {
  const claim = aClaim({ annotations: { [MARK]: 'velero-orders-x7', ...(upload === '' ? {} : { [UPLOAD]: upload }) } })
  const labels = { app: 'shop', [MARK]: 'velero-orders-x7', 'velero.io/backup-name': backup }
  return { ...claim, metadata: { ...claim.metadata, labels } }
}

function dataUpload(change: { uid?: string; claim?: string; namespace?: string } = {}): LooseObject {
  const { uid = BACKUP_UID, claim = 'orders', namespace = 'velero' } = change
  const owner = { apiVersion: 'velero.io/v1', kind: 'Backup', name: 'nightly', uid }
  return {
    apiVersion: 'velero.io/v2alpha1',
    kind: 'DataUpload',
    metadata: { name: 'nightly-h2', namespace, ownerReferences: [owner] },
    spec: { sourceNamespace: 'shop', sourcePVC: claim },
  }
}

const execute = (world: World, claim: LooseObject, backup = aBackup()) =>
  pvcBackupper(world.deps).execute(claim, backup, world.log)
const moving = aBackup({ snapshotMoveData: true })

csi(
  'a disk of which Velero has a VolumeSnapshot is taken all the same, with a warning, and stored without its marks',
  async () => {
    const world = aReadyWorld()
    const { item, operationId } = await execute(world, marked())
    assert.is.not(operationId, '')
    assert.ok(storedSnapshot(item as LooseObject) !== undefined)
    assert.equal(item.metadata.labels, { app: 'shop', 'velero.io/backup-name': 'nightly' })
    assert.not.match(JSON.stringify(item.metadata.annotations), 'velero-orders-x7')
    const [warning = '', ...more] = world.lines.filter((line) => line.startsWith('warn'))
    assert.match(warning, 'CsiSnapshotBeside: ')
    assert.match(warning, 'VolumeSnapshot velero-orders-x7')
    assert.equal(more, [])
  },
)

csi('a disk that Velero moves to the bucket, as its Backup says, is left to it, with a warning', async () => {
  const world = aReadyWorld()
  world.cluster.seed('DataUpload', dataUpload())
  const claim = marked({ upload: 'velero/nightly-h2' })
  const { item, operationId } = await execute(world, claim, moving)
  assert.equal([operationId, world.cluster.peekAll('Snapshot')], ['', []])
  assert.equal(item, claim, 'a restore needs its marks')
  assert.match(world.lines.join(), 'warn the disk of claim shop/orders is not backed up: VeleroDataMover: ')
})

const UNPROVED: [what: string, seeded: LooseObject[], upload: string][] = [
  ['is gone', [], 'velero/nightly-h2'],
  ['is of another Backup', [dataUpload({ uid: 'another' })], 'velero/nightly-h2'],
  ['is of another claim', [dataUpload({ claim: 'invoices' })], 'velero/nightly-h2'],
  ['stands where a tenant writes', [dataUpload({ namespace: 'shop' })], 'shop/nightly-h2'],
  ['has no name that can be read', [dataUpload()], 'velero/nightly-h2/x'],
]
for (const [what, seeded, upload] of UNPROVED)
  csi(`a disk is not left to a DataUpload that ${what}`, async () => {
    const world = aReadyWorld()
    for (const each of seeded) world.cluster.seed('DataUpload', each)
    const { item, operationId } = await execute(world, marked({ upload }), moving)
    assert.is.not(operationId, '')
    assert.not.match(JSON.stringify(item.metadata.annotations), 'nightly-h2')
  })

csi(
  'annotations that an earlier restore has left on the claim do not count for this Backup, and are not stored',
  async () => {
    const world = aReadyWorld()
    const { item, operationId } = await execute(world, marked({ backup: 'last-year', upload: 'velero/nightly-h2' }))
    assert.is.not(operationId, '')
    assert.not.match(JSON.stringify([item.metadata.annotations, item.metadata.labels]), /velero-orders-x7|nightly-h2/)
    assert.equal(
      world.lines.filter((line) => line.startsWith('warn')),
      [],
    )
  },
)

const FINALIZING = { phase: 'Finalizing' }

csi("the claim that Finalizing stores again has no marks of Velero's either", async () => {
  const world = aReadyWorld()
  await execute(world, marked())
  const { item } = await execute(world, marked(), aBackup({}, FINALIZING))
  assert.ok(storedSnapshot(item as LooseObject) !== undefined)
  assert.not.match(JSON.stringify([item.metadata.annotations, item.metadata.labels]), 'velero-orders-x7')
})

csi('a disk that Velero moves is left to it in Finalizing, too, and is no error', async () => {
  const world = aReadyWorld()
  world.cluster.seed('DataUpload', dataUpload())
  const claim = marked({ upload: 'velero/nightly-h2' })
  const { item, operationId } = await execute(world, claim, aBackup({ snapshotMoveData: true }, FINALIZING))
  assert.equal([operationId, item], ['', claim])
  await rejects(execute(world, aClaim(), aBackup({ snapshotMoveData: true }, FINALIZING)), 'SnapshotGone')
})

csi('a claim without marks goes on as it is', () => {
  for (const claim of [aClaim(), { ...aClaim(), metadata: { name: 'orders' } }])
    assert.equal(withoutCsiMarks(claim), claim)
})

csi.run()
