// Checks the project's files in each way in which TypeScript finds packages, in one process.
const ts = require('typescript')
const path = require('node:path')

const [, , format, ...names] = process.argv
const { ModuleKind, ModuleResolutionKind } = ts
const ways = {
  commonjs: [
    { module: ModuleKind.CommonJS, moduleResolution: ModuleResolutionKind.Node10 },
    { module: ModuleKind.Node16, moduleResolution: ModuleResolutionKind.Node16 },
  ],
  module: [
    { module: ModuleKind.NodeNext, moduleResolution: ModuleResolutionKind.NodeNext },
    { module: ModuleKind.ESNext, moduleResolution: ModuleResolutionKind.Bundler },
  ],
}
const strict = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, noEmit: true }
const options = { ...strict, target: ts.ScriptTarget.ES2022, types: ['node'], esModuleInterop: true }
const files = names.map((name) => path.join(__dirname, name))
const host = {
  getCurrentDirectory: () => __dirname,
  getCanonicalFileName: (name) => name,
  getNewLine: () => '\n',
}

for (const way of ways[format]) {
  const program = ts.createProgram(files, { ...options, ...way })
  // What drivers' own declarations get wrong is not ours, and takes long to find.
  const ours = program
    .getSourceFiles()
    .filter(({ fileName }) => !/node_modules\/(?!@oncemq|other)/.test(fileName))
  const diagnostics = [
    ...program.getOptionsDiagnostics(),
    ...ours.flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]),
  ]
  if (diagnostics.length === 0) continue
  console.log(ModuleResolutionKind[way.moduleResolution])
  console.log(ts.formatDiagnostics(diagnostics, host))
  process.exitCode = 1
}
