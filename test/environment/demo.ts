// The demo: the real Velero backs up a realistic volume twice, the volume is lost and restored, and a backup is deleted. At the end it
// prints a table.
// Usage: node test/environment/demo.ts; leaves build/demo.json, exits 0 only when every byte came back.

import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { builtPlugin } from '../system/support/plugin-file.ts'
import { changeFileSystem, checkFileSystem, makeFileSystem, requirePrograms } from './demo/ext4.ts'
import { changedBytes, type Fingerprint, fingerprint } from './demo/fingerprint.ts'
import { heading, mib, progressOf, say, table } from './demo/show.ts'
import { makeTree } from './demo/tree.ts'
import { type Backup, backUp, remove, restore } from './demo/velero.ts'
import { type Environment, startEnvironment } from './environment.ts'
import { PROJECT } from './process/tools.ts'
import type { Volume } from './storage/volume.ts'

const VOLUME_BYTES = 1.25 * 2 ** 30
const CHANGE_BYTES = VOLUME_BYTES * 0.019
const CLAIM = { namespace: 'shop', name: 'orders' }
const SEED = 'dormouse'
const RESULT_FILE = path.join(PROJECT, 'build/demo.json')

type Restored = { what: string; sha256Equal: boolean; seconds: number }
type Result = { backups: Backup[]; restores: Restored[]; changed: number }

try {
  requirePrograms()
  heading(
    'Dormouse: Velero backs a volume up, again, and restores it when it is lost, by functions that sleep until they are needed',
  )
  const environment = await startEnvironment({ say, velero: { plugins: [builtPlugin()] } })
  let result: Result
  try {
    result = await run(environment)
  } finally {
    await environment.stop()
  }
  await report(result)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

async function run(environment: Environment): Promise<Result> {
  heading(`1. A volume of ${mib(VOLUME_BYTES)} with an ext4 file system full of files`)
  const volume = await makeVolume(environment)
  const before = await fingerprint(volume.file)

  heading('2. First backup: velero backup create --wait')
  const first = await backUpLoudly(environment, volume, 'first')

  heading('3. About 2 % is changed, second backup')
  const scratch = path.join(environment.parts.folder, 'changed')
  await mkdir(scratch)
  await changeFileSystem(volume.file, CHANGE_BYTES, SEED, scratch)
  await checkFileSystem(volume.file)
  const after = await fingerprint(volume.file)
  const changed = changedBytes(before, after)
  say(`${mib(changed)} differ now (${percent(changed)} of the volume); e2fsck is content`)
  const second = await backUpLoudly(environment, volume, 'second')

  heading(
    '4. The namespace is deleted, and the disk with it; velero restore create --wait, each into another namespace',
  )
  await environment.kubectl('delete', 'namespace', CLAIM.namespace)
  await environment.waitFor('PersistentVolume', undefined, volume.volumeName, (object) => object === undefined)
  say(
    `Namespace ${CLAIM.namespace} is gone, and so is its disk: ${(await environment.vcenterState()).fcds.length} disks in vCenter`,
  )
  const restores = [
    await restoreLoudly(environment, 'first backup', first, 'monday', before),
    await restoreLoudly(environment, 'second backup', second, 'tuesday', after),
  ]

  heading('5. The first backup is deleted; the second still restores')
  await remove(environment, first.name)
  say('velero backup delete: the Backup is gone')
  restores.push(await restoreLoudly(environment, 'second backup, again', second, 'wednesday', after))
  return { backups: [first, second], restores, changed }
}

async function makeVolume(environment: Environment): Promise<Volume> {
  const volume = await environment.createVolume({ ...CLAIM, sizeBytes: VOLUME_BYTES })
  say(`PVC ${CLAIM.namespace}/${CLAIM.name} is bound to disk ${volume.fcdId}`)
  const tree = path.join(environment.parts.folder, 'tree')
  const { controlPlane } = environment.parts
  const facts = await makeTree(tree, SEED, [process.execPath, ...controlPlane.programs])
  say(`${facts.files} files, ${mib(facts.bytes)}: text, binaries, photos, a database, holes`)
  await makeFileSystem(volume.file, tree)
  await rm(tree, { recursive: true })
  await checkFileSystem(volume.file)
  say('they are in an ext4 file system on the disk; e2fsck is content')
  return volume
}

async function backUpLoudly(environment: Environment, { fcdId }: Volume, name: string): Promise<Backup> {
  const backup = await backUp(environment, name, CLAIM, progressOf('uploading'))
  const { bytesRead = 0, bytesSent = 0 } = backup.progress
  say(`Backup ${name} is Completed in ${backup.seconds.toFixed(1)} s: ${mib(bytesRead)} read, ${mib(bytesSent)} sent`)
  const left = (await environment.vcenter.disk(fcdId))?.snapshots.length
  if (left !== 0) throw new Error(`the disk has ${left} snapshots after the backup, want none`)
  return backup
}

async function restoreLoudly(
  environment: Environment,
  what: string,
  backup: Backup,
  namespace: string,
  wanted: Fingerprint,
): Promise<Restored> {
  const { volume, seconds } = await restore(environment, backup.name, CLAIM, namespace, progressOf('downloading'))
  const sha256Equal = (await fingerprint(volume.file)).sha256 === wanted.sha256
  if (sha256Equal) await checkFileSystem(volume.file)
  const verdict = sha256Equal ? 'sha256 is equal, e2fsck is content' : 'sha256 IS NOT EQUAL'
  say(`${what} -> ${namespace}/${CLAIM.name} in ${seconds.toFixed(1)} s: ${verdict}`)
  return { what, sha256Equal, seconds }
}

async function report({ backups, restores, changed }: Result): Promise<void> {
  const rows = backups.map(({ name, progress, seconds }) => {
    const { bytesRead = 0, bytesSent = 0, bytesStored = 0 } = progress
    return { name, bytesRead, bytesSent, bytesStored, seconds: tenths(seconds) }
  })
  heading(`Volume ${mib(VOLUME_BYTES)}, changed between the backups: ${mib(changed)}\n`)
  const cells = rows.map(({ name, bytesRead, bytesSent, bytesStored, seconds }) => [
    name,
    `${mib(bytesRead)} (${percent(bytesRead)})`,
    mib(bytesSent),
    mib(bytesStored),
    `${seconds.toFixed(1)} s`,
  ])
  console.log(table([['backup', 'read', 'sent', 'stored', 'time'], ...cells]))
  const restored = restores.map(({ what, sha256Equal, seconds }) => [
    what,
    sha256Equal ? 'equal' : 'DIFFERENT',
    `${seconds.toFixed(1)} s`,
  ])
  console.log(`\n${table([['restore of', 'sha256', 'time'], ...restored])}`)
  await mkdir(path.dirname(RESULT_FILE), { recursive: true })
  const result = {
    volumeBytes: VOLUME_BYTES,
    backups: rows.map(({ name: _, ...numbers }) => numbers),
    restores: restores.map(({ sha256Equal, seconds }) => ({ sha256Equal, seconds: tenths(seconds) })),
  }
  await writeFile(RESULT_FILE, `${JSON.stringify(result, null, 2)}\n`)
  console.log(`\nThe figures are in ${path.relative(PROJECT, RESULT_FILE)}.`)
  if (restores.some(({ sha256Equal }) => !sha256Equal))
    throw new Error('a restored volume differs from what was backed up')
}

function tenths(seconds: number): number {
  return Math.round(seconds * 10) / 10
}

function percent(bytes: number): string {
  return `${((100 * bytes) / VOLUME_BYTES).toFixed(1)} %`
}
