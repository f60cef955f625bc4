// Compile src/FederationGovernance.sol with the pinned solc.
//
//   node compile.mjs            write build/FederationGovernance.json
//   node compile.mjs --check    recompile and compare bytes; exit 1 with one line where they differ
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const NAME = "FederationGovernance";
const HERE = dirname(fileURLToPath(import.meta.url));
const SOURCE = join(HERE, "src", `${NAME}.sol`);
const TARGET = join(HERE, "build", `${NAME}.json`);

const SETTINGS = {
  evmVersion: "prague",
  optimizer: { enabled: true, runs: 200 },
  viaIR: false,
  metadata: { bytecodeHash: "none", appendCBOR: false },
};

function compile(source) {
  const outputSelection = { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } };
  const input = {
    language: "Solidity",
    sources: { [`${NAME}.sol`]: { content: source } },
    settings: { ...SETTINGS, outputSelection },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const problems = output.errors ?? [];
  if (problems.length) fail(problems.map((problem) => problem.formattedMessage).join("\n"));
  return output.contracts[`${NAME}.sol`][NAME];
}

function artefact() {
  const source = readFileSync(SOURCE, "utf8");
  const { abi, evm } = compile(source);
  return {
    contractName: NAME,
    compiler: solc.version(),
    settings: SETTINGS,
    sourceSha256: createHash("sha256").update(source).digest("hex"),
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
  };
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

function committed() {
  try {
    return readFileSync(TARGET, "utf8");
  } catch {
    return fail(`build/${NAME}.json is missing: run 'node compile.mjs'`);
  }
}

const text = `${JSON.stringify(artefact(), null, 1)}\n`;
if (process.argv.includes("--check")) {
  if (committed() !== text) fail(`build/${NAME}.json differs from a fresh compilation: run 'node compile.mjs' and commit it`);
  console.log(`build/${NAME}.json is what solc makes of the source`);
} else {
  mkdirSync(dirname(TARGET), { recursive: true });
  writeFileSync(TARGET, text);
  console.log(`wrote build/${NAME}.json`);
}
