// The registry of kinds agrees with config and eventing: where a kind is served, which function works on it, which source announces it.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS, type KindInfo, type KindName, STEPPED_KINDS, STEPS } from '#shared/api/kinds.ts'
import { isStepped } from '#shared/domain/step-label.ts'
import { BadEvent, refFromEvent } from '#shared/runtime/ref.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { FUNCTIONS, objectsIn, ofKind } from './load.ts'
import { rulesOf } from './rights.ts'

const registry = suite('the registry of kinds')

const config = objectsIn('config')
const ENTRIES: [name: string, info: KindInfo][] = Object.entries(KINDS)

/** `<verb> <resource>.<group>` for each right of a ServiceAccount. */
function rightsOf(account: string): string[] {
  return rulesOf(config, account).flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap((group) => resources.flatMap((on) => verbs.map((verb) => `${verb} ${on}.${group}`))),
  )
}

function resourceOf({ plural, group }: KindInfo, part = ''): string {
  return `${plural}${part}.${group}`
}

registry('group and kind together name one entry, and the group is part of its version', () => {
  const names = ENTRIES.map(([, { group, kind }]) => `${kind}.${group}`)
  assert.is(new Set(names).size, names.length)
  for (const [name, { group, version, apiVersion, kind }] of ENTRIES) {
    assert.is(apiVersion, group === '' ? version : `${group}/${version}`, name)
    assert.ok(name === kind || name === `${kind}.${group}`, name)
  }
})

registry('every kind of config/crd is in it, under its own group', () => {
  const defined = ofKind(config, 'CustomResourceDefinition').map(({ spec }) => [spec.group, spec.names.kind])
  for (const [group, kind] of defined)
    assert.ok(
      ENTRIES.some(([, info]) => info.group === group && info.kind === kind),
      kind,
    )
  assert.is(defined.length, ENTRIES.filter(([, { group }]) => group.endsWith('.cnsdp.vmware.com')).length)
})

registry('a source announces the kinds that say so, and no other', () => {
  const announced = ofKind(objectsIn('eventing'), 'ApiServerSource').flatMap(({ metadata, spec }) =>
    spec.resources.map(({ apiVersion, kind }: LooseObject) => `${metadata.name}: ${kind} of ${apiVersion}`),
  )
  const said = ENTRIES.flatMap(([, { source, kind, apiVersion }]) =>
    source === undefined ? [] : [`dormouse-${source}: ${kind} of ${apiVersion}`],
  )
  assert.equal(announced.sort(), said.sort())
})

registry('each step is a function, and does the step of one kind', () => {
  assert.equal(STEPPED_KINDS.map((kind) => KINDS[kind].step).sort(), [...STEPS].sort())
  assert.equal(
    STEPS.filter((step) => !FUNCTIONS.includes(step)),
    [],
  )
})

for (const kind of STEPPED_KINDS) {
  const info: KindInfo = KINDS[kind]

  registry(`the function of a ${kind} may read it and write what its kind takes`, () => {
    const may = rightsOf(`dormouse-${info.step}`)
    const parts = info.statusSubresource ? ['', '/status'] : ['']
    const wanted = [`get ${resourceOf(info)}`, ...parts.map((part) => `patch ${resourceOf(info, part)}`)]
    assert.equal(
      wanted.filter((right) => !may.includes(right)),
      [],
    )
  })

  registry(`the sweep may look for a ${kind}, let it go and remove its record`, () => {
    const may = rightsOf('dormouse-sweep')
    // A claim of a repository is no record: its user deletes it.
    const verbs = kind === 'BackupRepositoryClaim' ? ['get', 'list', 'patch'] : ['get', 'list', 'patch', 'delete']
    assert.equal(
      verbs.filter((verb) => !may.includes(`${verb} ${resourceOf(info)}`)),
      [],
    )
  })

  registry(`${kind}: its source may watch it`, () => {
    const may = rightsOf('dormouse-sources')
    for (const verb of ['get', 'list', 'watch']) assert.ok(may.includes(`${verb} ${resourceOf(info)}`), verb)
  })
}

registry('an object of the same kind in another group is not ours', () => {
  const metadata = { name: 's', namespace: 'app' }
  assert.is(isStepped({ apiVersion: KINDS.Snapshot.apiVersion, kind: 'Snapshot', metadata }), true)
  assert.is(isStepped({ apiVersion: 'storage.kubestash.com/v1alpha1', kind: 'Snapshot', metadata }), false)
  const event = { ...metadata, kind: 'Snapshot', apiversion: 'storage.kubestash.com/v1alpha1' }
  assert.throws(
    () => refFromEvent(event, ['Snapshot'] satisfies KindName[]),
    (error: unknown) => error instanceof BadEvent && /apiversion "storage.kubestash.com/.test(error.message),
  )
})

registry.run()
