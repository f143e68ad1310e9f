// The BackupItemAction over a cluster in memory: called once, twice, by two processes at once, and after a death between two writes.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TerminalError } from '#shared/kernel/errors.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcBackupper } from '../../../velero/actions/backupper.ts'
import { storedSnapshot } from '../../../velero/domain/blob.ts'
import {
  aBackup,
  aClaim,
  aConfigMap,
  aPod,
  aReadyWorld,
  aVolume,
  aWorld,
  BACKUP_UID,
  CLAIM_UID,
  NOW_MS,
  rejects,
  SNAPSHOT_ID,
  seedVolume,
  takeSnapshots,
  type World,
} from './support.ts'

const backupper = suite('the backup action')

const NAME = `snap-${BACKUP_UID}-${CLAIM_UID}`
const OPERATION = `shop/${NAME}`

const action = (world: World) => pvcBackupper(world.deps)
const execute = (world: World, claim: LooseObject = aClaim(), backup = aBackup()) =>
  action(world).execute(claim, backup, world.log)
const snapshots = (world: World) => world.cluster.peekAll('Snapshot')

backupper('asks for a Snapshot and answers with an operation, the PV and the annotated claim', async () => {
  const world = aReadyWorld()
  const { item, additionalItems, operationId, postOperationItems } = await execute(world)
  assert.is(operationId, OPERATION)
  assert.equal(additionalItems, [{ group: '', resource: 'persistentvolumes', namespace: '', name: 'pv-orders' }])
  assert.equal(postOperationItems, [], 'a claim there ends in a panic of the server')
  assert.is(storedSnapshot(item as LooseObject)?.snapshotID, SNAPSHOT_ID)
  assert.is(item.metadata.annotations?.['team'], 'blue')
  const [snapshot] = snapshots(world)
  assert.equal(snapshot?.metadata.labels, {
    'velero.io/exclude-from-backup': 'true',
    'velero.io/backup-name': 'nightly',
    'velero.io/backup-uid': BACKUP_UID,
  })
  assert.equal(snapshot?.['spec'].resourceHandle, { apiGroup: '', kind: 'PersistentVolumeClaim', name: 'orders' })
})

backupper("stores the operation's deadline and the Backup's full name on the Snapshot", async () => {
  const world = aReadyWorld()
  const long = 'n'.repeat(100)
  await execute(world, aClaim(), aBackup({}, { name: long }))
  const { annotations, labels } = snapshots(world)[0]!.metadata
  assert.is(Date.parse(annotations?.['dormouse.dev/operation-deadline'] ?? ''), NOW_MS + HOUR_MS)
  assert.is(annotations?.['dormouse.dev/velero-backup'], long)
  assert.is(labels?.['velero.io/backup-name']?.length, 63)
})

backupper("claims the repository of the Backup's location, for the claim's namespace", async () => {
  const world = aReadyWorld()
  await execute(world)
  const [claim, ...more] = world.cluster.peekAll('BackupRepositoryClaim')
  assert.is(more.length, 0)
  assert.equal(claim?.['allowedNamespaces'], ['shop'])
  assert.equal(claim?.['repopsitoryParameters'], {
    region: 'eu-central-1',
    bucket: 'backups',
    prefix: 'velero',
    backupStorageLocation: 'default',
  })
  assert.is(snapshots(world)[0]?.['spec'].backupRepository, `br-${claim?.metadata.uid}`)
})

backupper(
  'takes the claim that is there, also one made by hand, and not one that is being deleted or says other things',
  async () => {
    const world = aReadyWorld()
    await execute(world)
    const [made] = world.cluster.peekAll('BackupRepositoryClaim')
    await world.cluster.delete('BackupRepositoryClaim', made!)
    const by = (name: string, change: object) =>
      world.cluster.seed('BackupRepositoryClaim', {
        ...made!,
        metadata: { name, namespace: 'velero' },
        backupRepository: `br-${name}`,
        ...change,
      })
    by('a', { allowedNamespaces: ['shop', 'other'] })
    by('b', { repopsitoryParameters: { ...made!['repopsitoryParameters'], bucket: 'other' } })
    by('c', {
      metadata: { name: 'c', namespace: 'velero', deletionTimestamp: '2026-11-26T10:00:00Z', finalizers: ['x/y'] },
    })
    by('d', {})
    await execute(world, { ...aClaim(), metadata: { ...aClaim().metadata, uid: 'another' } })
    assert.is(world.cluster.peekAll('BackupRepositoryClaim').length, 4)
    const second = world.cluster.peek('Snapshot', 'shop', `snap-${BACKUP_UID}-another`)
    assert.is(second?.['spec'].backupRepository, 'br-d')
  },
)

backupper('a repository that is not ready is waited for, with a warning', async () => {
  const world = aReadyWorld()
  world.cluster.onWrite((kind, before, after) => {
    if (kind !== 'BackupRepositoryClaim' || before !== undefined || after === undefined) return
    const ready = { type: 'Ready', status: 'False', reason: 'RepositoryKeyMissing', message: 'no Secret' }
    void world.cluster.patch(kind, after as LooseObject, { status: { conditions: [ready] } })
  })
  await execute(world)
  await execute(world, { ...aClaim(), metadata: { ...aClaim().metadata, uid: 'another' } })
  assert.ok(world.lines.some((line) => line.startsWith('warn') && line.includes('RepositoryKeyMissing')))
})

backupper('in local mode no repository is claimed', async () => {
  const world = aReadyWorld()
  world.cluster.seed('ConfigMap', aConfigMap('velero-vsphere-plugin-feature-states', { 'local-mode': 'true' }))
  await execute(world)
  assert.is(world.cluster.peekAll('BackupRepositoryClaim').length, 0)
  assert.is(snapshots(world)[0]?.['spec'].backupRepository, '')
})

backupper('called twice makes one Snapshot and one operation id', async () => {
  const world = aReadyWorld()
  assert.is((await execute(world)).operationId, OPERATION)
  assert.is((await execute(world)).operationId, OPERATION)
  assert.is(snapshots(world).length, 1)
})

backupper('called by two processes at once makes one Snapshot and one repository claim', async () => {
  const world = aReadyWorld()
  const both = await Promise.all([execute(world), execute(world)])
  assert.equal(
    both.map(({ operationId }) => operationId),
    [OPERATION, OPERATION],
  )
  assert.is(snapshots(world).length, 1)
  assert.is(world.cluster.peekAll('BackupRepositoryClaim').length, 1)
})

for (const kind of ['BackupRepositoryClaim', 'Snapshot'] as const) {
  for (const when of ['before', 'after'] as const) {
    backupper(`dies ${when} the write of the ${kind}, is called again, and makes one of each`, async () => {
      const world = aReadyWorld()
      world.cluster.failNext({ verb: 'create', kind, when, error: new TerminalError('Killed', 'died here') })
      await rejects(execute(world), 'Killed')
      assert.is((await execute(world)).operationId, OPERATION)
      assert.is(snapshots(world).length, 1)
      assert.is(world.cluster.peekAll('BackupRepositoryClaim').length, 1)
      assert.is(
        snapshots(world)[0]?.['spec'].backupRepository,
        `br-${world.cluster.peekAll('BackupRepositoryClaim')[0]?.metadata.uid}`,
      )
    })
  }
}

backupper(
  'a write whose answer was lost counts once; an API server that is away for a while fails nothing',
  async () => {
    const world = aReadyWorld()
    world.cluster.failNext({ verb: 'create', kind: 'Snapshot', when: 'after' })
    world.cluster.failNext({ verb: ['read', 'list'], times: 5 })
    assert.is((await execute(world)).operationId, OPERATION)
    assert.is(snapshots(world).length, 1)
  },
)

backupper('an API server that stays away is an error, not a hang', async () => {
  const world = aReadyWorld()
  world.cluster.failNext({ verb: 'read', times: 1000 })
  await rejects(execute(world), 'KubernetesUnavailable')
})

backupper(
  'called a second time in one chain, as with the Velero Plugin for vSphere beside it, warns and starts nothing',
  async () => {
    const world = aReadyWorld()
    const first = await execute(world)
    const second = await execute(world, first.item)
    assert.equal(second, { item: first.item, additionalItems: [], operationId: '', postOperationItems: [] })
    assert.ok(world.lines.some((line) => line.startsWith('warn another plugin')))
  },
)

backupper('an annotation that an earlier restore has left is no second call', async () => {
  const world = aReadyWorld()
  const old = (await execute(world)).item
  const later = aBackup({}, { name: 'weekly' })
  later.metadata.uid = 'other-backup'
  const { operationId, item } = await execute(world, old, later)
  assert.is(operationId, `shop/snap-other-backup-${CLAIM_UID}`)
  assert.is(storedSnapshot(item as LooseObject)?.name, `snap-other-backup-${CLAIM_UID}`)
})

backupper('a claim that is not taken does not carry such an annotation into the backup', async () => {
  const world = aReadyWorld()
  const old = (await execute(world)).item
  const { item } = await execute(world, old, {
    ...aBackup({ snapshotVolumes: false }),
    metadata: { name: 'weekly', uid: 'x1' },
  })
  assert.is(storedSnapshot(item as LooseObject), undefined)
})

backupper('someone else at the name of the Snapshot is an error', async () => {
  const world = aReadyWorld()
  world.cluster.seed('Snapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: { name: NAME, namespace: 'shop' },
    spec: { resourceHandle: { kind: 'PersistentVolumeClaim', name: 'orders' }, backupRepository: '' },
  })
  await rejects(execute(world), 'NameTaken')
})

for (const [what, claim, volume, backup, level] of [
  ['snapshotVolumes: false', aClaim(), aVolume(), aBackup({ snapshotVolumes: false }), 'info'],
  ['an unbound claim', aClaim({ phase: 'Pending' }), aVolume(), aBackup(), 'warn'],
  ['another driver', aClaim(), aVolume({ csi: { driver: 'nfs', volumeHandle: 'x' } }), aBackup(), 'warn'],
] as const) {
  backupper(`${what}: no Snapshot, no operation, and a line that says why`, async () => {
    const world = aWorld()
    seedVolume(world, volume)
    const health = { 'volumehealth.storage.kubernetes.io/health': 'accessible' }
    const given = {
      ...claim,
      metadata: { ...claim.metadata, annotations: { ...claim.metadata.annotations, ...health } },
    }
    const { item, operationId } = await execute(world, given, backup)
    assert.is(operationId, '')
    assert.is(snapshots(world).length, 0)
    assert.equal(item.metadata.annotations, { team: 'blue' })
    assert.ok(world.lines.some((line) => line.startsWith(`${level} the disk of claim shop/orders is not backed up`)))
  })
}

backupper('File System Backup of a pod of the same namespace skips it, of another namespace does not', async () => {
  const fsb = { 'backup.velero.io/backup-volumes': 'data' }
  const world = aReadyWorld()
  world.cluster.seed('Pod', { ...aPod(fsb), metadata: { name: 'db', namespace: 'other', annotations: fsb } })
  assert.is((await execute(world)).operationId, OPERATION)
  const same = aReadyWorld()
  same.cluster.seed('Pod', aPod(fsb))
  assert.is((await execute(same)).operationId, '')
})

backupper('a PV that is gone fails the item', async () => {
  const world = aWorld()
  await rejects(execute(world), 'VolumeNotFound')
})

backupper('a location that is gone fails the item before a Snapshot is made', async () => {
  const world = aWorld()
  world.cluster.seed('PersistentVolume', aVolume())
  await rejects(execute(world), 'LocationMissing')
  assert.is(snapshots(world).length, 0)
})

backupper('claims with odd names or UIDs are refused', async () => {
  const world = aReadyWorld()
  const claim = aClaim()
  await rejects(execute(world, { ...claim, metadata: { ...claim.metadata, uid: 'a/b' } }), 'VeleroObjectInvalid')
  await rejects(execute(world, { ...claim, metadata: { ...claim.metadata, namespace: 'a/b' } }), 'VeleroObjectInvalid')
  await rejects(execute(world, aClaim({ volumeName: '../x' })), 'VeleroObjectInvalid')
})

backupper('waits for the disk snapshot, never for the data', async () => {
  const world = aReadyWorld()
  await execute(world)
  assert.is(world.clock.nowMs() - NOW_MS, 1000)
})

backupper('a disk snapshot that takes too long is left to the operation, with a warning about hooks', async () => {
  const world = aWorld()
  seedVolume(world)
  const { operationId, item } = await execute(world, aClaim(), aBackup({}, { timeout: '30s' }))
  assert.is(operationId, OPERATION)
  assert.is(storedSnapshot(item as LooseObject)?.snapshotID, undefined)
  assert.ok(world.lines.some((line) => line.startsWith('warn no disk snapshot within 30 s')))
})

backupper('a disk snapshot that fails keeps the claim in the backup; the operation tells of it', async () => {
  const world = aWorld()
  seedVolume(world)
  takeSnapshots(world, { phase: 'SnapshotFailed', reason: 'DatastoreFull', message: 'no room', uploadName: undefined })
  const { operationId } = await execute(world)
  const { completed, error } = await action(world).progress(operationId, aBackup(), world.log)
  assert.is(completed, true)
  assert.match(error, 'DatastoreFull: no room')
})

backupper('a Snapshot that is deleted while it is taken is an error, not a hang', async () => {
  const world = aWorld()
  seedVolume(world)
  world.clock.onSleep = () => world.cluster.delete('Snapshot', snapshots(world)[0]!)
  await rejects(execute(world), 'SnapshotGone')
})

backupper('a Snapshot that another has replaced while it was taken is not taken for it', async () => {
  const world = aWorld()
  seedVolume(world)
  world.clock.onSleep = async () => {
    const [asked] = snapshots(world)
    await world.cluster.delete('Snapshot', asked!)
    world.cluster.seed('Snapshot', { ...asked!, status: { phase: 'Snapshotted' } })
  }
  await rejects(execute(world), 'SnapshotGone')
})

for (const phase of ['Finalizing', 'FinalizingPartiallyFailed']) {
  backupper(`${phase}: the stored blob is brought up to date, and no operation starts`, async () => {
    const world = aReadyWorld()
    await execute(world)
    await world.cluster.patchStatus('Snapshot', snapshots(world)[0]!, { phase: 'Uploaded' })
    const { item, operationId, postOperationItems } = await execute(world, aClaim(), aBackup({}, { phase }))
    assert.equal([operationId, postOperationItems], ['', []])
    assert.is(storedSnapshot(item as LooseObject)?.phase, 'Uploaded')
    assert.is(snapshots(world).length, 1)
  })
}

backupper('finalizing without its Snapshot is an error, so that the stored blob is not overwritten', async () => {
  const world = aReadyWorld()
  await rejects(execute(world, aClaim(), aBackup({}, { phase: 'Finalizing' })), 'SnapshotGone')
  assert.is(snapshots(world).length, 0)
})

backupper('finalizing a claim that Dormouse never backed up is no error', async () => {
  const world = aReadyWorld()
  const backup = aBackup({ snapshotVolumes: false }, { phase: 'Finalizing' })
  assert.is((await execute(world, aClaim(), backup)).operationId, '')
})

backupper('kinds on the list are asked for, left out with a warning, or fail where the user wants it', async () => {
  const world = aWorld()
  world.cluster.seed(
    'ConfigMap',
    aConfigMap('velero-vsphere-plugin-blocked-resources-list', { 'gateways.example.com': 'true' }),
  )
  const lenient = action(world)
  const { includedResources } = await lenient.appliesTo()
  for (const resource of ['persistentvolumeclaims', 'gateways.example.com'])
    assert.ok(includedResources.includes(resource))
  const gateway = { apiVersion: 'example.com/v1', kind: 'Gateway', metadata: { name: 'edge', namespace: 'shop' } }
  const { item } = await lenient.execute(gateway, aBackup(), world.log)
  assert.is(item.metadata.annotations?.['velero.io/skip-from-backup'], 'true')
  assert.ok(world.lines[0]?.startsWith('warn Gateway of example.com shop/edge'))
  world.cluster.seed('ConfigMap', aConfigMap('velero-vsphere-plugin-config', { 'blocked-resources': 'strict' }))
  await rejects(action(world).execute(gateway, aBackup(), world.log), 'ResourceBlocked')
})

backupper('what is blocked is read when Velero asks for it, once, and asked for again after a failure', async () => {
  const world = aWorld()
  const failNextRead = () => world.cluster.failNext({ verb: 'read', error: new TerminalError('Forbidden', 'no right') })
  const one = action(world)
  failNextRead()
  await rejects(one.appliesTo(), 'Forbidden')
  await one.appliesTo()
  failNextRead()
  await one.appliesTo()
})

backupper('its name can be changed', () => {
  assert.is(action(aWorld()).name, 'velero.io/vsphere-pvc-backupper')
  assert.is(pvcBackupper(aWorld().deps, { name: 'example.com/x' }).name, 'example.com/x')
})

backupper.run()
