// The four meanings of File System Backup's annotations, and whose annotations count.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { podWithFileSystemBackup } from '../../../velero/domain/file-system-backup.ts'
import { aBackup, aPod } from './support.ts'

const fsb = suite('File System Backup')

const INCLUDES = 'backup.velero.io/backup-volumes'
const EXCLUDES = 'backup.velero.io/backup-volumes-excludes'
const optIn = aBackup()
const optOut = aBackup({ defaultVolumesToFsBackup: true })

fsb('opt-in: a volume that the pod names is taken', () => {
  assert.is(podWithFileSystemBackup([aPod({ [INCLUDES]: 'cache, data' })], 'orders', optIn), 'db-0')
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
