// A volume policy of Velero overrides pods' annotations and the Backup: no disk is left to File System Backup if a policy may exclude it there.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcBackupper } from '../../../velero/actions/backupper.ts'
import { aBackup, aClaim, aConfigMap, aPod, aReadyWorld } from './support.ts'

const policies = suite('beside volume policies')

const policy = (...rules: string[]) => `version: v1\nvolumePolicies:\n${rules.join('')}`
const rule = (action: string, conditions = 'csi: { driver: csi.vsphere.vmware.com }') =>
  `  - conditions: { ${conditions} }\n    action: { type: ${action} }\n`
const FILE_SYSTEM = policy(rule('fs-backup'))

/** When the tests' objects are made, and when their Backup begins. */
const MADE = '2026-11-26T10:00:00Z'
const STARTED = '2026-11-26T10:00:30Z'
const OWN = { resourcePolicy: { kind: 'configmap', name: 'mine' } }

function backupWith(spec: object, annotations: Record<string, string> = {}, started = STARTED): LooseObject {
  const backup = aBackup({ defaultVolumesToFsBackup: true, ...spec })
  const status = { ...backup['status'], startTimestamp: started }
  return { ...backup, metadata: { ...backup.metadata, annotations }, status }
}

type Written = { name?: string; data?: Record<string, string>; changed?: string; started?: string }

function policyMap(text: string, { name = 'mine', data, changed = MADE }: Written = {}): LooseObject {
  const map = aConfigMap(name, data ?? { 'policy.yaml': text })
  const managedFields = [{ manager: 'kubectl', time: changed }]
  return { ...map, metadata: { ...map.metadata, managedFields } } as LooseObject
}

/** What happens to the claim of a running pod whose volume File System Backup would take, and the warnings. */
async function takenWith(maps: LooseObject[], backup: LooseObject) {
  const world = aReadyWorld()
  world.cluster.seed('Pod', aPod())
  for (const map of maps) world.cluster.seed('ConfigMap', map)
  const { operationId } = await pvcBackupper(world.deps).execute(aClaim(), backup, world.log)
  return { isTaken: operationId !== '', warnings: world.lines.filter((line) => line.startsWith('warn')), world }
}

const DOUBTFUL: [what: string, text: string, written?: Written][] = [
  ['custom, as our own page advises', policy(rule('custom'))],
  ['snapshot', policy(rule('snapshot'))],
  ['skip for others', policy(rule('skip', 'nfs: {}'))],
  ['fs-backup for some and custom for the rest', policy(rule('fs-backup', 'storageClass: [slow]'), rule('custom'))],
  ['an action in quotes', policy(rule('"custom"'), rule('fs-backup'))],
  [
    'an action on a line of its own',
    'version: v1\nvolumePolicies:\n- action:\n    type:\n      custom\n  conditions: {}\n',
  ],
  ['an action beside a comment that says fs-backup', policy(rule('custom # type: fs-backup'))],
  ['an action in escaped letters', policy(rule('"\\x63ustom"'), rule('fs-backup'))],
  ['a key in escaped letters', `${FILE_SYSTEM}  - { conditions: {}, action: { "typ\\x65": custom } }\n`],
  ['a key by an alias', policy(rule('fs-backup').replace('type', '&t type'), '  - action: { *t : custom }\n')],
  ['a key in base64', `${FILE_SYSTEM}  - action: { !!binary dHlwZQ==: custom }\n`],
  ['an action of a later Velero', policy(rule('fs-backup-later'))],
  ['pods by their names', `${FILE_SYSTEM}namespacedFilterPolicies: [{ namespaces: [shop] }]\n`],
  ['which kinds are in', `${FILE_SYSTEM}includeExcludePolicy: { excludedNamespaceScopedResources: [pods] }\n`],
  ['fs-backup, in one of two texts', '', { data: { one: FILE_SYSTEM, two: FILE_SYSTEM } }],
  ['fs-backup, since the Backup began', FILE_SYSTEM, { changed: STARTED }],
  ['fs-backup, in a map made since the Backup began', FILE_SYSTEM, { started: MADE }],
]
for (const [what, text, written] of DOUBTFUL)
  policies(`a disk is not left to File System Backup where a policy says ${what}`, async () => {
    const { isTaken, warnings } = await takenWith([policyMap(text, written)], backupWith(OWN, {}, written?.started))
    assert.ok(isTaken)
    assert.is(warnings.length, 1)
    assert.match(warnings[0] ?? '', 'FileSystemBackupUnsure: ')
    for (const name of ['db-0', 'velero/mine']) assert.match(warnings[0] ?? '', name)
  })

policies('a policy whose ConfigMap is gone, or has no usable name, is one that may say anything', async () => {
  for (const resourcePolicy of [OWN.resourcePolicy, { kind: 'configmap' }, { kind: 'configmap', name: 'No/Name' }])
    assert.ok((await takenWith([], backupWith({ resourcePolicy }))).isTaken)
})

policies("the policies of Velero's server, which it names in the Backup, count as well", async () => {
  const named = { 'velero.io/global-backup-volume-policy-configmap': 'all' }
  const all = (text: string) => policyMap(text, { name: 'all' })
  assert.ok((await takenWith([all(policy(rule('custom')))], backupWith({}, named))).isTaken)
  assert.not((await takenWith([all(FILE_SYSTEM)], backupWith({}, named))).isTaken)
  const maps = [policyMap(FILE_SYSTEM), all(policy(rule('custom')))]
  assert.ok((await takenWith(maps, backupWith(OWN, named))).isTaken)
})

const SURE: [what: string, text: string][] = [
  ['fs-backup', FILE_SYSTEM],
  [
    'fs-backup in other forms',
    'volumePolicies:\n- action:\n    "type" : \'fs-backup\'\n  conditions: { volumeTypes: [csi] }',
  ],
  ['no action for volumes', 'version: v1\n'],
]
for (const [what, text] of SURE)
  policies(`a disk is left to File System Backup where each policy says ${what}`, async () => {
    const { isTaken, warnings } = await takenWith([policyMap(text)], backupWith(OWN))
    assert.equal([isTaken, warnings], [false, []])
  })

policies('there is no warning about a disk that no pod gives to File System Backup', async () => {
  const { isTaken, warnings } = await takenWith([], backupWith({ ...OWN, defaultVolumesToFsBackup: false }))
  assert.equal([isTaken, warnings], [true, []])
})

policies.run()
