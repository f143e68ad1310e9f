// Which claims are backed up, as a table; and which kinds are left out.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LooseObject } from '#test/support/loose-object.ts'
import { blockedKinds, decideBlocked } from '../../../velero/domain/blocked.ts'
import { type ClaimSeen, decideClaim } from '../../../velero/domain/selection.ts'
import { aBackup, aClaim, aConfigMap, aVolume } from './support.ts'

const selection = suite('which claim is backed up')

const seen = (change: Partial<ClaimSeen> = {}): ClaimSeen => ({
  claim: aClaim(),
  volume: aVolume(),
  fileSystemPod: undefined,
  doubtfulPolicy: undefined,
  backup: aBackup(),
  csiMigration: false,
  ...change,
})
const inTree = (migrated: boolean) =>
  aVolume(
    { csi: undefined, vsphereVolume: { volumePath: '[ds] kubevols/a.vmdk' } },
    migrated ? { 'pv.kubernetes.io/migrated-to': 'csi.vsphere.vmware.com' } : {},
  )
const ofDriver = (driver: string) => aVolume({ csi: { driver, volumeHandle: 'x' } })

/** The situation; the result; the level of the line that the user reads; the reason. */
const TABLE: [what: string, change: Partial<ClaimSeen>, kind: string, level?: string | undefined, reason?: string][] = [
  ['a bound claim on a vSphere disk', {}, 'take'],
  [
    'ReadWriteOnce before another mode',
    { volume: aVolume({ accessModes: ['ReadWriteOnce', 'ReadOnlyMany'] }) },
    'take',
  ],
  ['ReadWriteOnce after another mode', { volume: aVolume({ accessModes: ['ReadOnlyMany', 'ReadWriteOnce'] }) }, 'take'],
  ['ReadWriteOncePod', { volume: aVolume({ accessModes: ['ReadWriteOncePod'] }) }, 'take'],
  ['snapshotVolumes: false', { backup: aBackup({ snapshotVolumes: false }) }, 'skip', 'info', 'SnapshotsDisabled'],
  ['snapshotVolumes: true', { backup: aBackup({ snapshotVolumes: true }) }, 'take'],
  ['File System Backup', { fileSystemPod: 'db-0' }, 'skip', 'info', 'FileSystemBackup'],
  ['File System Backup that a policy may keep from it', { fileSystemPod: 'db-0', doubtfulPolicy: 'mine' }, 'take'],
  [
    'the same, of another driver',
    { fileSystemPod: 'db-0', doubtfulPolicy: 'mine', volume: ofDriver('nfs.csi.k8s.io') },
    'skip',
    'warn',
    'FileSystemBackupUnsure',
  ],
  ['a Pending claim', { claim: aClaim({ phase: 'Pending' }) }, 'skip', 'warn', 'ClaimNotBound'],
  ['a bound claim without a volume', { claim: aClaim({ volumeName: '' }) }, 'skip', 'warn', 'ClaimNotBound'],
  ['a lost claim', { claim: aClaim({ phase: 'Lost' }) }, 'fail', undefined, 'VolumeNotFound'],
  ['a PV that is gone', { volume: undefined }, 'fail', undefined, 'VolumeNotFound'],
  ['another driver', { volume: ofDriver('nfs.csi.k8s.io') }, 'skip', 'warn', 'DriverUnsupported'],
  ['no driver', { volume: aVolume({ csi: undefined, nfs: {} }) }, 'skip', 'warn', 'DriverUnsupported'],
  [
    'another driver with migration on',
    { volume: ofDriver('x'), csiMigration: true },
    'skip',
    'warn',
    'DriverUnsupported',
  ],
  [
    'no disk in the PV',
    { volume: aVolume({ csi: { driver: 'csi.vsphere.vmware.com' } }) },
    'fail',
    undefined,
    'VolumeNotFound',
  ],
  [
    'a file share',
    { volume: aVolume({ csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: 'file:1' } }) },
    'skip',
    'warn',
    'FileVolumeUnsupported',
  ],
  ['ReadWriteMany', { volume: aVolume({ accessModes: ['ReadWriteMany'] }) }, 'skip', 'warn', 'AccessModeUnsupported'],
  ['in-tree', { volume: inTree(false) }, 'skip', 'warn', 'DriverUnsupported'],
  ['migrated, the flag off', { volume: inTree(true) }, 'skip', 'warn', 'DriverUnsupported'],
  ['migrated, the flag on', { volume: inTree(true), csiMigration: true }, 'take'],
  ['in-tree, the flag on', { volume: inTree(false), csiMigration: true }, 'fail', undefined, 'DriverUnsupported'],
]

for (const [what, change, kind, level, reason] of TABLE) {
  selection(`${what}: ${kind}`, () => {
    const decision = decideClaim(seen(change))
    assert.is(decision.kind, kind)
    assert.is('reason' in decision ? decision.reason : undefined, reason)
    assert.is('level' in decision ? decision.level : undefined, level)
  })
}

selection('a migrated volume tells how it could be backed up', () => {
  const decision = decideClaim(seen({ volume: inTree(true) }))
  assert.match('message' in decision ? decision.message : '', 'csi-migrated-volume-support')
})

selection('snapshotVolumes: false goes before everything that could fail', () => {
  const backup = aBackup({ snapshotVolumes: false })
  assert.is(decideClaim(seen({ backup, volume: undefined })).kind, 'skip')
  assert.is(decideClaim(seen({ backup, claim: aClaim({ phase: 'Lost' }) })).kind, 'skip')
})

const list = (data: Record<string, string>) => aConfigMap('list', data)
const item = (apiVersion: string, kind: string): LooseObject => ({
  apiVersion,
  kind,
  metadata: { name: 'a', namespace: 'shop' },
})

selection('without a ConfigMap our own kinds and the notes of the CSI driver are blocked', () => {
  const { resources, strict } = blockedKinds(undefined, undefined)
  assert.ok(resources.includes('snapshots.backupdriver.cnsdp.vmware.com'))
  assert.ok(resources.includes('uploads.datamover.cnsdp.vmware.com'))
  assert.is(resources.length, 10)
  assert.is(strict, false)
})

selection('the ConfigMap adds and removes entries; nonsense and the claims themselves are not accepted', () => {
  const { resources } = blockedKinds(
    list({
      'gateways.networking.example.com': 'true',
      'snapshots.backupdriver.cnsdp.vmware.com': 'false',
      'pods.v1': 'yes',
      'no kind!': 'true',
      ['x'.repeat(64)]: 'true',
      persistentvolumeclaims: 'true',
    }),
    undefined,
  )
  assert.ok(resources.includes('gateways.networking.example.com'))
  assert.not.ok(resources.includes('snapshots.backupdriver.cnsdp.vmware.com'))
  assert.is(resources.length, 10)
})

selection('a blocked kind warns by default and fails where that is asked for', () => {
  assert.is(blockedKinds(undefined, list({ 'blocked-resources': 'strict' })).strict, true)
  assert.is(blockedKinds(undefined, list({ 'blocked-resources': 'warn' })).strict, false)
  const gateway = item('networking.example.com/v1', 'Gateway')
  assert.is(decideBlocked(gateway, true).kind, 'fail')
  const warned = decideBlocked(gateway, false)
  assert.is('level' in warned ? warned.level : '', 'warn')
})

selection('our own kinds are left out without a warning, also in strict mode', () => {
  const decision = decideBlocked(item('datamover.cnsdp.vmware.com/v1alpha1', 'Upload'), true)
  assert.is('level' in decision ? decision.level : '', 'info')
})

selection.run()
