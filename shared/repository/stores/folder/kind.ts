// A folder as a kind of store: its rules, for the registry.

import type { StoreKind } from '#shared/ports/stores.ts'
import { parseFolderParameters, pathOf, requireAllowed } from './parameters.ts'
import { type FolderSettings, requireFolder } from './settings.ts'

export const folder = {
  kind: 'folder',
  driver: 'folder.dormouse.dev',
  // Velero keeps nothing in a folder, so no BackupStorageLocation leads to one: only an operator's BackupRepositoryClaim does.
  locations: undefined,
  parse: parseFolderParameters,
  placeOf: pathOf,
  placeText: (parameters) => `folder ${pathOf(parameters)}`,
  settingsFrom: (parameters, _, { folderStores }) => {
    const path = pathOf(parameters)
    const settings: FolderSettings = { kind: 'folder', path, within: requireAllowed(path, folderStores) }
    return { settings, notes: [] }
  },
  placeOfSettings: (settings) => requireFolder(settings).path,
} as const satisfies StoreKind
