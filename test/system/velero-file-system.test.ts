// A disk is taken once: by File System Backup or by Dormouse. Each meaning of its annotations in a Backup of the real Velero, with its end.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { NODE_NAME } from '#test/environment/seed.ts'
import { sideBySide } from '#test/support/side-by-side.ts'
import { NodeAgent, runningPod } from './support/node-agent.ts'
import { aFilledVolume, assertNothingLeft, listOf, phaseOf, startWithPlugin } from './support/velero.ts'

const OPT_OUT = ['--default-volumes-to-fs-backup']
const INCLUDES = 'backup.velero.io/backup-volumes'
const EXCLUDES = 'backup.velero.io/backup-volumes-excludes'

const MOUNTED = { volumeMounts: [{ name: 'data', mountPath: '/data' }] }
const DEVICE = { volumeDevices: [{ name: 'data', devicePath: '/dev/data' }] }

type Meaning = {
  means: string
  annotation: string
  options: string[]
  /** The volumes that the pod's container mounts. */
  uses?: object
  takenBy: 'File System Backup' | 'us'
}
const MEANINGS: Meaning[] = [
  { means: 'opt-in, the volume is named', annotation: INCLUDES, options: [], takenBy: 'File System Backup' },
  { means: 'opt-in, the volume is excluded', annotation: EXCLUDES, options: [], takenBy: 'us' },
  { means: 'opt-out, the volume is named', annotation: INCLUDES, options: OPT_OUT, takenBy: 'File System Backup' },
  { means: 'opt-out, the volume is excluded', annotation: EXCLUDES, options: OPT_OUT, takenBy: 'us' },
  // Volumes that Velero leaves out silently: nothing else would back them up.
  { means: 'opt-in, no container mounts it', annotation: INCLUDES, options: [], uses: {}, takenBy: 'us' },
  { means: 'opt-out, it is a block device', annotation: INCLUDES, options: OPT_OUT, uses: DEVICE, takenBy: 'us' },
]

const files = suite('File System Backup beside us')
let environment: Environment
let agent: NodeAgent

files.before(async () => {
  environment = await startWithPlugin({ velero: { flags: { 'concurrent-backups': '3' } } })
  agent = await NodeAgent.start(environment, NODE_NAME)
})
files.after(async () => {
  await environment.stop()
})

async function backUp(
  { annotation, options, uses = MOUNTED }: Meaning,
  name: string,
): Promise<{ end: string; ours: number }> {
  await aFilledVolume(environment, name, 'orders')
  const volumes = [{ name: 'data', claim: 'orders' }]
  const annotations = { [annotation]: 'data' }
  await runningPod(environment, { namespace: name, name: 'db-0', nodeName: NODE_NAME, annotations, volumes, uses })
  await environment.velero('backup', 'create', name, '--include-namespaces', name, '--wait', ...options)
  const ours = (await listOf(environment, 'Snapshot', name)).length
  return { end: await phaseOf(environment, 'Backup', name), ours }
}

const atOnce = sideBySide(files)

for (const [index, meaning] of MEANINGS.entries())
  atOnce(`${meaning.means}: the disk is taken by ${meaning.takenBy}, once, and the Backup is Completed`, async () => {
    const name = `meaning-${index}`
    const taken = await backUp(meaning, name)
    const isOurs = meaning.takenBy === 'us'
    const told = await environment.velero('backup', 'logs', name).catch(String)
    assert.equal(taken, { end: 'Completed', ours: isOurs ? 1 : 0 }, told)
    assert.equal(agent.askedIn(name), isOurs ? [] : ['data'], told)
  })

files(
  'what File System Backup should have taken, and could not, is PartiallyFailed, and not taken by us in silence',
  async () => {
    agent.stop()
    await environment.api.delete({ apiVersion: 'v1', kind: 'Pod', namespace: 'velero', name: 'node-agent' })
    const taken = await backUp(MEANINGS[0]!, 'without-agent')
    assert.equal(taken, { end: 'PartiallyFailed', ours: 0 })
    await assertNothingLeft(environment)
  },
)

files.run()
