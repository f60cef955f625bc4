// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Governance and provenance of a federated learning run
/// @notice Keeps the registry of clients and takes every training round through None -> Open -> Committed -> Finalised.
/// A committed round binds its clients' updates through a SHA-256 Merkle root, a finalised one the digest of the global
/// model that came out. Anyone can check with `verifyInclusion` that a client's update is part of a round.
/// @dev The contract holds no value and calls no other contract but the SHA-256 precompile.
contract FederationGovernance {
    /// @notice Where a round stands. A round only ever moves one step to the right.
    enum RoundState {
        None,
        Open,
        Committed,
        Finalised
    }

    /// @notice A client's entry in the registry.
    enum ClientState {
        Unknown,
        Active,
        Suspended
    }

    /// @notice What is stored of a round, in three slots.
    struct Round {
        RoundState state;
        uint32 cohortSize; // clients invited
        uint32 count; // leaves under `root`, without padding
        bytes32 root; // SHA-256 Merkle root over the accepted updates
        bytes32 modelDigest; // digest of the global model after the round
    }

    /// @notice May register and suspend clients and hand out roles.
    uint8 public constant ADMIN = 1;
    /// @notice May open, commit and finalise rounds.
    uint8 public constant AGGREGATOR = 2;

    /// @notice The roles of an account, as a sum of flags.
    mapping(address account => uint8 roles) public rolesOf;
    /// @notice The registry of clients.
    mapping(address client => ClientState state) public clientState;
    /// @notice The rounds by number, counted from 1.
    mapping(uint32 number => Round round) public rounds;
    /// @notice The number of the last round that was opened; 0 before the first one.
    uint32 public latestRound;
    /// @notice How many registered clients are active.
    uint32 public activeClients;

    event RoleGranted(address indexed account, uint8 role);
    event RoleRevoked(address indexed account, uint8 role);
    event ClientRegistered(address indexed client);
    event ClientSuspended(address indexed client);
    event ClientReadmitted(address indexed client);
    event RoundOpened(uint32 indexed round, bytes32 configHash, bytes32 cohortDigest, uint32 cohortSize);
    event RoundCommitted(uint32 indexed round, bytes32 root, uint32 count);
    event RoundFinalised(uint32 indexed round, bytes32 modelDigest);

    error MissingRole(address account, uint8 role);
    error UnknownRole(uint8 role);
    error CannotRevokeOwnAdmin();
    error ZeroAddress();
    error EmptyBatch();
    error AlreadyRegistered(address client);
    error NotRegistered(address client);
    error ActivityUnchanged(address client);
    error NotNextRound(uint32 given, uint32 expected);
    error WrongRoundState(uint32 round, RoundState actual, RoundState required);
    error EmptyDigest();
    error EmptyCohort();
    error CohortTooLarge(uint32 cohortSize, uint32 activeClients);
    error CountAboveCohort(uint32 count, uint32 cohortSize);
    error RootAndCountDisagree();
    error IndexOutOfRange(uint32 index, uint32 count);
    error WrongProofLength(uint256 given, uint256 required);

    /// @dev The caller needs `role`.
    modifier onlyRole(uint8 role) {
        if (rolesOf[msg.sender] & role == 0) revert MissingRole(msg.sender, role);
        _;
    }

    /// @dev The round must be in state `required`.
    modifier inState(uint32 round, RoundState required) {
        _requireState(round, required);
        _;
    }

    /// @notice The deployer becomes admin and aggregator.
    constructor() {
        rolesOf[msg.sender] = ADMIN | AGGREGATOR;
        emit RoleGranted(msg.sender, ADMIN);
        emit RoleGranted(msg.sender, AGGREGATOR);
    }

    // ---------------------------------------------------------------------------------------------- roles and registry

    /// @notice Give `account` a role.
    /// Requirements: the caller is admin; `role` is `ADMIN` or `AGGREGATOR`; `account` is not zero.
    function grantRole(address account, uint8 role) external onlyRole(ADMIN) {
        _requireKnownRole(role);
        if (account == address(0)) revert ZeroAddress();
        rolesOf[account] |= role;
        emit RoleGranted(account, role);
    }

    /// @notice Take a role from `account`.
    /// Requirements: the caller is admin; an admin cannot dismiss itself, so that one always remains.
    function revokeRole(address account, uint8 role) external onlyRole(ADMIN) {
        _requireKnownRole(role);
        if (role == ADMIN && account == msg.sender) revert CannotRevokeOwnAdmin();
        if (rolesOf[account] & role == 0) revert MissingRole(account, role);
        rolesOf[account] &= ~role;
        emit RoleRevoked(account, role);
    }

    /// @notice Enter clients into the registry, all active.
    /// Requirements: the caller is admin; the batch is not empty; no address is zero or known already. One bad address
    /// fails the whole batch.
    function registerClients(address[] calldata clients) external onlyRole(ADMIN) {
        if (clients.length == 0) revert EmptyBatch();
        for (uint256 i = 0; i < clients.length; ++i) {
            _register(clients[i]);
        }
        activeClients += uint32(clients.length);
    }

    /// @notice Suspend a client or re-admit it.
    /// Requirements: the caller is admin; the client is registered; the call changes something.
    function setClientActive(address client, bool active) external onlyRole(ADMIN) {
        ClientState current = clientState[client];
        if (current == ClientState.Unknown) revert NotRegistered(client);
        if ((current == ClientState.Active) == active) revert ActivityUnchanged(client);
        if (active) {
            clientState[client] = ClientState.Active;
            activeClients += 1;
            emit ClientReadmitted(client);
        } else {
            clientState[client] = ClientState.Suspended;
            activeClients -= 1;
            emit ClientSuspended(client);
        }
    }

    // ---------------------------------------------------------------------------------------------------------- rounds

    /// @notice Open the next round.
    /// Requirements: the caller is aggregator; `round` is the latest round plus one and the latest one is finalised; the
    /// hashes are not zero; the cohort is not empty and no larger than the number of active clients.
    /// @param round Number of the round, from 1.
    /// @param configHash SHA-256 of the resolved configuration of the run.
    /// @param cohortDigest SHA-256 over the invited clients' addresses, 20 bytes each, in the order of the cohort.
    /// @param cohortSize How many clients are invited.
    function openRound(uint32 round, bytes32 configHash, bytes32 cohortDigest, uint32 cohortSize)
        external
        onlyRole(AGGREGATOR)
    {
        uint32 latest = latestRound;
        if (round != latest + 1) revert NotNextRound(round, latest + 1);
        if (latest != 0) _requireState(latest, RoundState.Finalised);
        if (configHash == 0 || cohortDigest == 0) revert EmptyDigest();
        if (cohortSize == 0) revert EmptyCohort();
        if (cohortSize > activeClients) revert CohortTooLarge(cohortSize, activeClients);
        latestRound = round;
        rounds[round].state = RoundState.Open;
        rounds[round].cohortSize = cohortSize;
        emit RoundOpened(round, configHash, cohortDigest, cohortSize);
    }

    /// @notice Commit to the accepted updates of an open round.
    /// Requirements: the caller is aggregator; the round is open; `count` is at most the size of the cohort; `root` is zero
    /// exactly when `count` is (a round in which no update was accepted).
    /// @param root Merkle root over the leaves, padded to a power of two with zero words.
    /// @param count Number of leaves, without padding.
    function commitRound(uint32 round, bytes32 root, uint32 count)
        external
        onlyRole(AGGREGATOR)
        inState(round, RoundState.Open)
    {
        Round storage entry = rounds[round];
        if (count > entry.cohortSize) revert CountAboveCohort(count, entry.cohortSize);
        if ((root == 0) != (count == 0)) revert RootAndCountDisagree();
        entry.state = RoundState.Committed;
        entry.count = count;
        entry.root = root;
        emit RoundCommitted(round, root, count);
    }

    /// @notice Close a committed round with the digest of the global model it led to.
    /// Requirements: the caller is aggregator; the round is committed; the digest is not zero.
    function finaliseRound(uint32 round, bytes32 modelDigest)
        external
        onlyRole(AGGREGATOR)
        inState(round, RoundState.Committed)
    {
        if (modelDigest == 0) revert EmptyDigest();
        rounds[round].state = RoundState.Finalised;
        rounds[round].modelDigest = modelDigest;
        emit RoundFinalised(round, modelDigest);
    }

    /// @notice Is this the update that `client` contributed to `round` as leaf number `index`?
    /// Requirements: the round is committed or finalised; `index` is below the count; the proof has ceil(log2(count)) words.
    /// @dev The leaf is hashed here, with a prefix that inner nodes do not have, so that no inner node passes for a leaf.
    /// @param index Position of the leaf in the tree, from 0.
    /// @param updateDigest Digest of the client's update.
    /// @param samples Training examples the client used.
    /// @param metric Training loss in millionths.
    /// @param proof Sibling hashes from the leaf up to the root.
    /// @return True if the proof leads to the committed root.
    function verifyInclusion(
        uint32 round,
        uint32 index,
        address client,
        bytes32 updateDigest,
        uint32 samples,
        int64 metric,
        bytes32[] calldata proof
    ) external view returns (bool) {
        Round storage entry = rounds[round];
        if (entry.state < RoundState.Committed) {
            revert WrongRoundState(round, entry.state, RoundState.Committed);
        }
        uint32 count = entry.count;
        if (index >= count) revert IndexOutOfRange(index, count);
        uint256 depth = _depth(count);
        if (proof.length != depth) revert WrongProofLength(proof.length, depth);
        bytes32 leaf = sha256(abi.encodePacked(uint8(0), round, client, updateDigest, samples, metric));
        return _climb(leaf, index, proof) == entry.root;
    }

    // --------------------------------------------------------------------------------------------------------- helpers

    function _register(address client) private {
        if (client == address(0)) revert ZeroAddress();
        if (clientState[client] != ClientState.Unknown) revert AlreadyRegistered(client);
        clientState[client] = ClientState.Active;
        emit ClientRegistered(client);
    }

    function _requireKnownRole(uint8 role) private pure {
        if (role != ADMIN && role != AGGREGATOR) revert UnknownRole(role);
    }

    function _requireState(uint32 round, RoundState required) private view {
        RoundState actual = rounds[round].state;
        if (actual != required) revert WrongRoundState(round, actual, required);
    }

    /// @dev ceil(log2(count)) for count >= 1.
    function _depth(uint32 count) private pure returns (uint256 depth) {
        for (uint256 width = 1; width < count; width <<= 1) {
            ++depth;
        }
    }

    /// @dev From a leaf's hash to the root: at each level the index says on which side the sibling stands.
    function _climb(bytes32 node, uint256 index, bytes32[] calldata proof) private pure returns (bytes32) {
        for (uint256 level = 0; level < proof.length; ++level) {
            bytes32 sibling = proof[level];
            node = index & 1 == 0
                ? sha256(abi.encodePacked(uint8(1), node, sibling))
                : sha256(abi.encodePacked(uint8(1), sibling, node));
            index >>= 1;
        }
        return node;
    }
}
