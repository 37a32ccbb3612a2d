// The reference: a page for each public export of each door of each package, from its docstring.
import { globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Application, OptionDefaults, ReflectionKind } from 'typedoc'
import type { ProjectReflection, TypeDocOptions } from 'typedoc'
import type { PluginOptions } from 'typedoc-plugin-markdown'
import { REPOSITORY, ROOT } from './pages.ts'

/** A way into a package: an entry of its `exports`. */
export interface Door {
  /** `@oncemq/core/store`. */
  readonly name: string
  readonly description: string
  /** Its source, relative to the root. */
  readonly source: string
}

/** What the side bar needs of a door: its exports by kind. */
export interface Section {
  readonly title: string
  /** Relative to the reference; absent for a kind. */
  readonly path?: string
  readonly children?: readonly Section[]
}

interface Manifest {
  readonly name: string
  readonly description: string
  readonly exports: Readonly<Record<string, { readonly '@oncemq/source': string }>>
}

const TOLD_TO_CHECKERS = '@ts-ignore'
const SCOPE = '@oncemq'
const CACHE = join(ROOT, 'site/.cache')
const SECTIONS = join(CACHE, 'sections.json')

/** The doors of all packages, the core's first. */
export function findDoors(): Door[] {
  return ['packages/*/package.json', 'packages/*/*/package.json']
    .flatMap((pattern) => globSync(pattern, { cwd: ROOT }).toSorted())
    .filter((path) => !/[\\/](dist|node_modules)[\\/]/.test(path))
    .flatMap((path) => {
      const { name, description, exports } = JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as Manifest
      return Object.entries(exports).map(([entry, { '@oncemq/source': source }]) => {
        return { name: name + entry.slice(1), description, source: join(dirname(path), source) }
      })
    })
}

/**
 * Writes the pages into a folder, and what the side bar shows of them.
 * @throws Error for a docstring that links to what is not public.
 */
export async function writeReference(folder: string): Promise<void> {
  const doors = findDoors()
  const written = join(CACHE, 'reference')
  rmSync(written, { recursive: true, force: true })
  const app = await Application.bootstrapWithPlugins({ ...optionsFor(doors), out: written })
  const project = await app.convert()
  if (project === undefined) throw new Error('the sources could not be read: see above')
  tidy(project, doors)
  app.validate(project)
  await app.generateOutputs(project)
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error('docstrings are wrong: see above')
  mkdirSync(dirname(folder), { recursive: true })
  renameSync(join(written, SCOPE), folder)
  writeFileSync(join(folder, 'index.md'), index(doors))
}

function optionsFor(doors: readonly Door[]): TypeDocOptions & Partial<PluginOptions> {
  return {
    entryPoints: doors.map(({ source }) => join(ROOT, source)),
    tsconfig: join(ROOT, 'site/tsconfig.json'),
    plugin: ['typedoc-plugin-markdown'],
    // The types are checked by a step of their own, and by another version of TypeScript.
    skipErrorChecking: true,
    excludeInternal: true,
    validation: { invalidLink: true, notExported: false, notDocumented: false },
    readme: 'none',
    disableGit: true,
    displayBasePath: ROOT,
    sourceLinkTemplate: `${REPOSITORY}/blob/main/{path}#L{line}`,
    blockTags: [...OptionDefaults.blockTags, TOLD_TO_CHECKERS],
    excludeTags: [TOLD_TO_CHECKERS],
    logLevel: 'Warn',
    entryFileName: 'index',
    hideBreadcrumbs: true,
    hidePageHeader: true,
    indexFormat: 'table',
    navigationJson: SECTIONS,
    useCodeBlocks: true,
  }
}

/** Calls things what readers know them by, and leaves out where each member of an export is defined. */
function tidy(project: ProjectReflection, doors: readonly Door[]): void {
  for (const module of project.children ?? []) {
    const file = module.sources?.[0]?.fullFileName
    const door = doors.find(({ source }) => join(ROOT, source) === file)
    if (door === undefined) throw new Error(`${module.name} is no door of a package`)
    module.name = door.name
  }
  for (const each of project.getReflectionsByKind(ReflectionKind.All)) {
    if (each.name === '__namedParameters') each.name = 'options'
    const isMember = each.isDeclaration() && each.parent?.kindOf(ReflectionKind.ClassOrInterface) === true
    if (isMember) for (const part of [each, ...(each.signatures ?? [])]) delete part.sources
  }
}

function index(doors: readonly Door[]): string {
  const packages = Map.groupBy(doors, ({ description }) => description)
  const rows = [...packages].map(([description, own]) => {
    const links = own.map(({ name }) => `[${name}](.${name.slice(SCOPE.length)}/index.md)`)
    return `| ${links.join('<br>')} | ${description} |`
  })
  const intro = 'What each door of each package exports, from the docstrings of the code.'
  return ['# Reference', '', intro, '', '| doors | package |', '| --- | --- |', ...rows, ''].join('\n')
}

/** The doors and their exports, as {@link writeReference} has found them. */
export function readSections(): Section[] {
  const withinScope = (path: string): string => path.slice(SCOPE.length + 1)
  const moved = ({ title, path, children }: Section): Section => ({
    title,
    ...(path === undefined ? {} : { path: withinScope(path) }),
    ...(children === undefined ? {} : { children: children.map(moved) }),
  })
  return (JSON.parse(readFileSync(SECTIONS, 'utf8')) as Section[]).map(moved)
}
