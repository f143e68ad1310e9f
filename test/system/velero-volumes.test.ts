// Volumes as administrators make and change them: Velero's restore brings back the properties that each had besides its data, on a disk of the
// size of its backup.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { NODE_NAME, STORAGE_CLASSES } from '#test/environment/seed.ts'
import { sha256 } from '#test/environment/storage/content.ts'
import { volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { boundVolume, staticVolume } from './support/static-volume.ts'
import { aFilledVolume, assertCompleted, listOf, startWithPlugin } from './support/velero.ts'

const MIB = 2 ** 20
const [SHOP, COPY] = ['shop', 'copy'] as const
const LABELS = { tier: 'gold', 'app.kubernetes.io/part-of': 'shop' }
const ANNOTATIONS = { 'example.com/ticket': 'OPS-1', 'pv.beta.kubernetes.io/gid': '1234' }
const ZONE = 'example.com/zone'
const inZone = (...values: string[]) => ({
  required: { nodeSelectorTerms: [{ matchExpressions: [{ key: ZONE, operator: 'In', values }] }] },
})

const volumes = suite('what a volume knew')
let environment: Environment

volumes.before(async () => {
  environment = await startWithPlugin({ faults: false })
  await environment.kubectl('label', 'node', NODE_NAME, `${ZONE}=a`)
  await staticVolume(environment, {
    ...{ namespace: SHOP, name: 'by-hand', labels: LABELS, annotations: ANNOTATIONS, fsType: 'xfs' },
    ...{ sizeBytes: 32 * MIB, request: '16Mi', accessModes: ['ReadOnlyMany', 'ReadWriteOnce'] },
    spec: { mountOptions: ['noatime', 'nouuid'], nodeAffinity: inZone('a', 'b') },
  })
  await staticVolume(environment, {
    ...{ namespace: SHOP, name: 'elsewhere', sizeBytes: 16 * MIB },
    spec: { nodeAffinity: inZone('gone'), persistentVolumeReclaimPolicy: 'Delete' },
  })
  for (const name of ['protected', 'grown']) await protect(name)
  await environment.velero('backup', 'create', 'nightly', '--include-namespaces', SHOP, '--wait')
  await assertCompleted(environment, 'Backup', 'nightly')
  await restore()
})
volumes.after(async () => {
  await environment.stop()
})

/** Provisioned, and changed since, so that it outlives its claim. */
async function protect(claim: string): Promise<void> {
  const { volumeName: name } = await aFilledVolume(environment, SHOP, claim)
  const change = { metadata: { labels: { tier: 'silver' } }, spec: { persistentVolumeReclaimPolicy: 'Retain' } }
  await environment.api.patch({ apiVersion: 'v1', kind: 'PersistentVolume', name }, change)
}

/** Restores into another namespace; one claim is made to ask for more. */
async function restore(): Promise<void> {
  const rule = {
    conditions: { groupResource: 'persistentvolumeclaims', resourceNameRegex: '^grown$' },
    patches: [{ operation: 'replace', path: '/spec/resources/requests/storage', value: '64Mi' }],
  }
  await environment.api.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'grow', namespace: 'velero' },
    data: { 'modifier.yaml': JSON.stringify({ version: 'v1', resourceModifierRules: [rule] }) },
  } as LooseObject)
  const how = ['--namespace-mappings', `${SHOP}:${COPY}`, '--resource-modifier-configmap', 'grow']
  await environment.velero('restore', 'create', 'back', '--from-backup', 'nightly', ...how, '--wait')
  await assertCompleted(environment, 'Restore', 'back')
}

const set = (list: string[]): string[] => [...list].sort()

async function assertSameContent(name: string): Promise<void> {
  const [source, copy] = [await volumeOf(environment, SHOP, name), await volumeOf(environment, COPY, name)]
  assert.is.not(copy.fcdId, source.fcdId)
  assert.is(await sha256(copy.file), await sha256(source.file), name)
}

volumes('file system, mount options, policy, labels, annotations, modes and place come back', async () => {
  const { metadata, spec } = await boundVolume(environment, COPY, 'by-hand')
  assert.equal(
    [spec.csi.fsType, spec.mountOptions, spec.persistentVolumeReclaimPolicy],
    ['xfs', ['noatime', 'nouuid'], 'Retain'],
  )
  assert.equal(set(spec.accessModes), ['ReadOnlyMany', 'ReadWriteOnce'])
  assert.equal(spec.nodeAffinity, inZone('a', 'b'))
  assert.equal(metadata.labels, LABELS)
  for (const [key, text] of Object.entries(ANNOTATIONS)) assert.is(metadata.annotations?.[key], text)
  assert.is(spec.storageClassName, STORAGE_CLASSES.immediate)
  assert.ok(environment.parts.csi.knows(spec.csi.volumeHandle), 'the driver has the disk in its inventory')
})

volumes(
  'a claim that was bound to a larger volume is restored onto a disk of that size, and asks for as much as before',
  async () => {
    const { claim } = await volumeOf(environment, COPY, 'by-hand')
    assert.equal([claim['spec'].resources.requests.storage, claim['status'].capacity.storage], ['16Mi', '32Mi'])
    await assertSameContent('by-hand')
  },
)

volumes('a claim that is restored to ask for more gets it', async () => {
  const { claim } = await volumeOf(environment, COPY, 'grown')
  assert.equal([claim['spec'].resources.requests.storage, claim['status'].capacity.storage], ['64Mi', '64Mi'])
})

volumes(
  'a place that this cluster has not is left out, with an Event; a file system that none had named stays unnamed',
  async () => {
    const { spec } = await boundVolume(environment, COPY, 'elsewhere')
    assert.equal([spec.nodeAffinity, spec.persistentVolumeReclaimPolicy], [undefined, 'Delete'])
    assert.is('fsType' in spec.csi, false)
    const told = (await listOf(environment, 'Event', COPY)).map((event) => event['reason'])
    assert.ok(told.includes('NodeAffinityLeftOut'), told.join())
    await assertSameContent('elsewhere')
  },
)

volumes('one that was patched to Retain and labelled comes back so, and outlives its claim', async () => {
  const { metadata, spec } = await boundVolume(environment, COPY, 'protected')
  assert.equal(
    [metadata.labels, spec.persistentVolumeReclaimPolicy, spec.csi.fsType],
    [{ tier: 'silver' }, 'Retain', 'ext4'],
  )
  await assertSameContent('protected')
  await environment.api.delete({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: COPY, name: 'protected' })
  const isReleased = (volume: LooseObject | undefined) => volume?.['status']?.phase === 'Released'
  await environment.waitFor('PersistentVolume', undefined, metadata.name, isReleased)
  assert.ok(await environment.vcenter.disk(spec.csi.volumeHandle), 'its disk is there')
})

volumes('no staging claim and no disk is left over', async () => {
  const claims = await listOf(environment, 'PersistentVolumeClaim')
  assert.equal(
    claims.map(({ metadata }) => metadata.name).filter((name) => name.startsWith('dormouse-')),
    [],
  )
  const handles = (await listOf(environment, 'PersistentVolume')).map(({ spec }) => spec.csi.volumeHandle)
  const disks = (await environment.vcenterState()).fcds.map(({ id }) => id)
  assert.equal(set(disks), set(handles))
})

volumes.run()
