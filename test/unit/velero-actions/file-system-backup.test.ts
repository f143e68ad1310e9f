// The four meanings of File System Backup's annotations, and whose annotations count.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LooseObject } from '#test/support/loose-object.ts'
import { claimsTakenThrough } from '../../../velero/domain/file-system-backup.ts'
import { aBackup, aPod } from './support.ts'

const fsb = suite('File System Backup')

/** The first one, by name. */
function podWithFileSystemBackup(pods: LooseObject[], claim: string, backup: LooseObject): string | undefined {
  return pods.find((pod) => claimsTakenThrough(pod, backup).includes(claim))?.metadata.name
}

const INCLUDES = 'backup.velero.io/backup-volumes'
const EXCLUDES = 'backup.velero.io/backup-volumes-excludes'
const optIn = aBackup()
const optOut = aBackup({ defaultVolumesToFsBackup: true })

fsb('opt-in: a volume that the pod names is taken', () => {
  assert.is(podWithFileSystemBackup([aPod({ [INCLUDES]: 'cache,data' })], 'orders', optIn), 'db-0')
  assert.is(podWithFileSystemBackup([aPod({ [INCLUDES]: 'cache' })], 'orders', optIn), undefined)
  assert.is(podWithFileSystemBackup([aPod()], 'orders', optIn), undefined)
})

fsb('opt-in: excludes mean nothing', () => {
  assert.is(podWithFileSystemBackup([aPod({ [EXCLUDES]: 'cache' })], 'orders', optIn), undefined)
  assert.is(podWithFileSystemBackup([aPod({ [INCLUDES]: 'data', [EXCLUDES]: 'data' })], 'orders', optIn), 'db-0')
})

fsb('opt-out: every volume is taken but those that the pod excludes', () => {
  assert.is(podWithFileSystemBackup([aPod()], 'orders', optOut), 'db-0')
  assert.is(podWithFileSystemBackup([aPod({ [EXCLUDES]: 'cache' })], 'orders', optOut), 'db-0')
  assert.is(podWithFileSystemBackup([aPod({ [EXCLUDES]: 'cache,data' })], 'orders', optOut), undefined)
})

fsb('opt-out: a list of volumes to take means nothing', () => {
  assert.is(podWithFileSystemBackup([aPod({ [INCLUDES]: 'cache' })], 'orders', optOut), 'db-0')
  assert.is(podWithFileSystemBackup([aPod({ [INCLUDES]: 'data', [EXCLUDES]: 'data' })], 'orders', optOut), undefined)
})

fsb('a pod that is not running leaves the volume to us: Velero skips it', () => {
  for (const phase of ['Pending', 'Succeeded', 'Failed', 'Unknown']) {
    assert.is(podWithFileSystemBackup([aPod({ [INCLUDES]: 'data' }, phase)], 'orders', optIn), undefined, phase)
  }
})

const LABELS = { tier: 'db', app: 'shop' }
const LEFT_OUT: [why: string, spec: object, labels?: Record<string, string>][] = [
  ['its resource is not included', { includedResources: ['persistentvolumeclaims', 'persistentvolumes'] }],
  ['its resource is excluded', { excludedResources: ['Pods'] }],
  ['all are excluded', { excludedResources: ['*'] }],
  ['the newer lists do not include it', { includedNamespaceScopedResources: ['persistentvolumeclaims'] }],
  ['the newer lists exclude it', { excludedNamespaceScopedResources: ['po'] }],
  ['its labels are others', { labelSelector: { matchLabels: { tier: 'web' } } }],
  [
    'an expression is not met',
    { labelSelector: { matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['db'] }] } },
  ],
  ['an expression cannot be read', { labelSelector: { matchExpressions: [{ key: 'tier', operator: 'Like' }] } }],
  [
    'none of the selectors fits',
    { orLabelSelectors: [{ matchLabels: { tier: 'web' } }, { matchLabels: { app: 'x' } }] },
  ],
  ['its label leaves it out', {}, { 'velero.io/exclude-from-backup': 'true' }],
]
for (const [why, spec, labels = {}] of LEFT_OUT)
  fsb(`a pod that is not in the Backup leaves the volume to us: ${why}`, () => {
    const pod = aPod({ [INCLUDES]: 'data' })
    const labelled = { ...pod, metadata: { ...pod.metadata, labels: { ...LABELS, ...labels } } }
    assert.is(podWithFileSystemBackup([labelled], 'orders', aBackup(spec)), undefined)
    assert.is(
      podWithFileSystemBackup([labelled], 'orders', aBackup({ defaultVolumesToFsBackup: true, ...spec })),
      undefined,
    )
  })

fsb('a pod that the lists and selectors of the Backup name is in it', () => {
  const pod = aPod({ [INCLUDES]: 'data' })
  const labelled = { ...pod, metadata: { ...pod.metadata, labels: LABELS } }
  for (const spec of [
    { includedResources: ['*'] },
    { includedResources: ['pods', 'persistentvolumeclaims'], excludedResources: ['secrets'] },
    { includedNamespaceScopedResources: ['pods'] },
    { labelSelector: { matchLabels: { tier: 'db' }, matchExpressions: [{ key: 'app', operator: 'Exists' }] } },
    { orLabelSelectors: [{ matchLabels: { tier: 'web' } }, { matchLabels: { tier: 'db' } }] },
  ])
    assert.is(podWithFileSystemBackup([labelled], 'orders', aBackup(spec)), 'db-0', JSON.stringify(spec))
})

fsb(
  'what no container mounts, or has as a device, is left to us: Velero skips it and is Completed all the same',
  () => {
    const pod = aPod({ [INCLUDES]: 'data' })
    const using = (more: object) => ({ ...pod, spec: { ...pod['spec'], containers: [{ name: 'side' }], ...more } })
    const mounts = { volumeMounts: [{ name: 'data', mountPath: '/data' }] }
    const device = { volumeDevices: [{ name: 'data', devicePath: '/dev/data' }] }
    const taken = (more: object) => podWithFileSystemBackup([using(more)], 'orders', optIn)
    assert.is(taken({ containers: [{ name: 'side' }, { name: 'main', ...mounts }] }), 'db-0')
    assert.is(taken({}), undefined)
    assert.is(taken({ containers: undefined }), undefined)
    assert.is(taken({ initContainers: [{ name: 'prepare', ...mounts }] }), undefined)
    assert.is(taken({ containers: [{ name: 'main', ...device }] }), undefined)
    assert.is(
      taken({
        containers: [
          { name: 'main', ...device },
          { name: 'side', ...mounts },
        ],
      }),
      undefined,
    )
    assert.is(
      podWithFileSystemBackup([using({ containers: [{ name: 'main', ...device }] })], 'orders', optOut),
      undefined,
    )
  },
)

fsb('Velero does not find a volume name with an extra space, so Dormouse takes the volume', () => {
  for (const list of ['cache, data', ' data', 'data ,cache']) {
    assert.is(podWithFileSystemBackup([aPod({ [INCLUDES]: list })], 'orders', optIn), undefined, list)
    assert.is(podWithFileSystemBackup([aPod({ [EXCLUDES]: list })], 'orders', optOut), undefined, list)
  }
})

fsb('a pod that is being deleted leaves the volume to us: Velero leaves it out', () => {
  const pod = aPod({ [INCLUDES]: 'data' })
  const going = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-11-26T10:00:00Z' } }
  for (const backup of [optIn, optOut]) assert.is(podWithFileSystemBackup([going], 'orders', backup), undefined)
})

fsb('a volume with the name of an account token is ours: Velero passes it over', () => {
  const pod = aPod({ [INCLUDES]: 'default-token-of-orders' }, 'Running', ['default-token-of-orders'])
  for (const backup of [optIn, optOut]) assert.is(podWithFileSystemBackup([pod], 'orders', backup), undefined)
})

fsb('one pod of several, and one mount of several, is enough', () => {
  assert.is(podWithFileSystemBackup([aPod(), aPod({ [INCLUDES]: 'data' })], 'orders', optIn), 'db-0')
  const twice = aPod({ [EXCLUDES]: 'data' }, 'Running', ['data', 'same'])
  assert.is(podWithFileSystemBackup([twice], 'orders', optOut), 'db-0')
})

fsb('pods that use other claims, or none, do not matter', () => {
  assert.is(podWithFileSystemBackup([aPod()], 'invoices', optOut), undefined)
  assert.is(podWithFileSystemBackup([{ ...aPod(), spec: {} }], 'orders', optOut), undefined)
})

fsb.run()
