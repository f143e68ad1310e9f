// The actions of this process by kind and name. The Velero server exits when a plugin lists a bad or a duplicate name, so this process
// exits first.

import { TerminalError } from '#shared/kernel/errors.ts'
import type { ItemAction } from '../actions.ts'

type ActionKind = ItemAction['kind']
type ActionOf<Kind extends ActionKind> = Extract<ItemAction, { kind: Kind }>

/** `<dns-subdomain>/<name>` (velero pkg/plugin/clientmgmt/process/registry.go). */
const NAME = /^(?=[^/]{1,253}\/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[^/]+$/

export class Registry {
  readonly actions: readonly ItemAction[]

  constructor(actions: readonly ItemAction[]) {
    const seen = new Set<string>()
    for (const { kind, name } of actions) {
      if (!NAME.test(name)) throw new TerminalError('PluginNameInvalid', `"${name}" is no <dns-subdomain>/<name>`)
      if (seen.has(`${kind} ${name}`)) throw new TerminalError('PluginNameInvalid', `${kind} "${name}" is there twice`)
      seen.add(`${kind} ${name}`)
    }
    this.actions = actions
  }

  find<Kind extends ActionKind>(kind: Kind, name: string): ActionOf<Kind> {
    const known = this.actions.filter((action): action is ActionOf<Kind> => action.kind === kind)
    const found = known.find((action) => action.name === name)
    if (found !== undefined) return found
    const names = known.map((action) => action.name).join(', ') || 'none'
    throw new TerminalError('PluginUnknown', `there is no ${kind} "${name}" here; there is: ${names}`)
  }
}
