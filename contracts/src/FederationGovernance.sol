// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Governance and provenance of a federated learning run
/// @notice Keeps the registry of clients, moves every training round through None -> Open -> Committed -> Finalised (or
/// Aborted), and decides on requests for synthetic data. A committed round binds the updates of its clients through a
/// SHA-256 Merkle root. A finalised round also binds the digest of the resulting global model. Anyone can check with
/// `verifyInclusion` that a client's update is part of a round.
/// @dev The contract holds no value and calls no other contract than the precompiles for SHA-256 and ecrecover.
contract FederationGovernance {
    /// @notice The state of a round. States follow one another in this order; an Open or Committed round can be
    /// Aborted.
    enum RoundState {
        None,
        Open,
        Committed,
        Finalised,
        Aborted
    }

    /// @notice The state of a client in the registry. Only an Active client has the role "client".
    enum ClientState {
        Unknown,
        Active,
        Suspended,
        Revoked
    }

    /// @notice The reason why an update was rejected and has no influence on the model.
    enum Refusal {
        None,
        NotRegistered,
        Suspended,
        Revoked,
        NotInCohort,
        Duplicate,
        BadSignature,
        DigestMismatch,
        NotFinite
    }

    /// @notice The state of a request for synthetic samples.
    enum RequestState {
        None,
        Pending,
        Approved,
        Rejected,
        Logged,
        Cancelled
    }

    /// @notice The reason why a request for synthetic samples was rejected.
    enum Rejection {
        None,
        BatchTooLarge,
        NotRare,
        RoundQuota,
        TotalQuota,
        Cooldown,
        Discretion
    }

    /// @notice The registry entry of a client, in one storage slot.
    struct Client {
        ClientState state;
        uint32 index; // position in the registry, from 0
        uint32 lastRound; // last round in which an update of this client was accepted on chain
        uint32 lastWithdrawn; // last round in which the aggregator withdrew that update
    }

    /// @notice A round, in three storage slots.
    struct Round {
        RoundState state;
        bool listed; // whether the members of the cohort are stored, so that clients can submit on chain
        uint32 cohortSize; // number of invited clients
        uint32 quorum; // minimum number of leaves needed to commit the round
        uint32 submitted; // number of updates accepted on chain so far
        uint32 count; // number of leaves under `root`, without padding
        uint32 version; // number of the resulting global model; 0 unless finalised
        bytes32 root; // SHA-256 Merkle root over the accepted updates
        bytes32 modelDigest; // digest of the global model after the round
    }

    /// @notice One client's update, signed by the client (EIP-712) and relayed by the aggregator.
    struct SignedUpdate {
        address client;
        bytes32 updateDigest;
        uint32 samples;
        int64 metric;
        bytes32 r;
        bytes32 vs; // s with the parity of y in the highest bit (EIP-2098)
    }

    /// @notice An update that the aggregator rejects.
    struct RefusedUpdate {
        address client;
        bytes32 updateDigest;
        Refusal reason;
    }

    /// @notice Rules for synthetic samples, in one storage slot. Quotas count the samples of one client and one class.
    struct Policy {
        uint16 rareThreshold; // a class is rare below this share of a client's samples, in basis points
        uint32 roundQuota;
        uint32 totalQuota;
        uint32 maxBatch;
        uint16 cooldown; // rounds between two approvals for one client and class
        bool manual; // whether an auditor or admin decides on requests that satisfy the rules
    }

    /// @notice The part of its quota for one class that a client has used, in one storage slot.
    struct Usage {
        uint32 total;
        uint32 inRound;
        uint32 round; // the round to which `inRound` refers
        uint32 approvedRound; // round of the last approval
        bool approved; // whether there was an approval
    }

    /// @notice A request for synthetic samples, in one storage slot.
    struct SyntheticRequest {
        address client;
        RequestState state;
        uint8 class;
        uint32 amount;
        uint32 round; // the latest round at the time of approval
    }

    /// @notice Role that registers clients, grants roles, sets the policy and pauses the contract.
    uint8 public constant ADMIN = 1;
    /// @notice Role that opens and commits rounds, and relays and rejects updates.
    uint8 public constant AGGREGATOR = 2;
    /// @notice Role that finalises and aborts rounds, and decides on requests for synthetic samples.
    uint8 public constant AUDITOR = 4;

    bytes32 private constant EIP712_DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant CLIENT_UPDATE_TYPEHASH =
        keccak256("ClientUpdate(uint32 round,address client,bytes32 updateDigest,uint32 samples,int64 metric)");
    bytes32 private constant NAME_HASH = keccak256("FederationGovernance");
    bytes32 private constant VERSION_HASH = keccak256("1");
    /// @dev Half the order of secp256k1. A signature with a higher s is malleable: its mirror image is valid too.
    uint256 private constant MAX_SIGNATURE_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint16 private constant BASIS_POINTS = 10_000;

    /// @notice The roles of an account, as a sum of role flags.
    mapping(address account => uint8 roles) public rolesOf;
    /// @notice The registry of clients.
    mapping(address client => Client entry) public clients;
    /// @notice The rounds by number, counted from 1.
    mapping(uint32 number => Round round) public rounds;
    /// @notice The members of stored cohorts: bit i of word w stands for the client with index 256 w + i.
    mapping(uint32 round => mapping(uint256 word => uint256 bits)) public cohortWords;
    /// @notice The requests for synthetic samples by number, counted from 1.
    mapping(uint32 number => SyntheticRequest request) public requests;
    /// @notice The used quota of every client and class.
    mapping(address client => mapping(uint8 class => Usage used)) public usage;
    /// @notice The batches of synthetic samples that were logged.
    mapping(bytes32 batchDigest => bool known) public loggedBatches;
    /// @notice The digests of the results that were published with a global model.
    mapping(uint32 version => bytes32 digest) public resultsOf;
    /// @notice The rules for synthetic samples. Until an admin sets them they are all zero and approve nothing.
    Policy public policy;
    /// @notice The number of the last opened round; 0 before the first one.
    uint32 public latestRound;
    /// @notice The number of the last finalised global model; 0 before the first one.
    uint32 public latestVersion;
    /// @notice The number of clients that were ever registered.
    uint32 public registeredClients;
    /// @notice The number of active clients.
    uint32 public activeClients;
    /// @notice The number of the last request for synthetic samples; 0 before the first one.
    uint32 public latestRequest;
    /// @notice The number of registry changes so far. It identifies the version of the registry that a caller has read.
    uint32 public registryVersion;
    /// @notice Whether the contract is paused. Registry, roles, policy, aborts and cancellations still work then.
    bool public paused;

    event RoleGranted(address indexed account, uint8 role);
    event RoleRevoked(address indexed account, uint8 role);
    event ClientRegistered(address indexed client);
    event ClientSuspended(address indexed client);
    event ClientRevoked(address indexed client);
    event ClientReadmitted(address indexed client);
    event Paused();
    event Unpaused();
    event RoundOpened(uint32 indexed round, bytes32 configHash, bytes32 cohortDigest, uint32 cohortSize, uint32 quorum);
    event UpdateAccepted(
        uint32 indexed round, address indexed client, bytes32 updateDigest, uint32 samples, int64 metric
    );
    event UpdateRefused(uint32 indexed round, address indexed client, bytes32 updateDigest, Refusal reason);
    event DigestsPublished(uint32 indexed round, uint32 count, bytes32 digest);
    event RoundCommitted(uint32 indexed round, bytes32 root, uint32 count, uint64 samples, int64 metric);
    event RoundFinalised(uint32 indexed round, uint32 indexed version, bytes32 modelDigest);
    event RoundAborted(uint32 indexed round);
    event ResultsPublished(uint32 indexed version, bytes32 resultsDigest);
    event PolicyChanged(Policy policy);
    event SyntheticRequested(
        uint32 indexed request, address indexed client, uint8 class, uint32 amount, uint32[] classCounts
    );
    event SyntheticApproved(uint32 indexed request, uint32 round);
    event SyntheticRejected(uint32 indexed request, Rejection reason);
    event SyntheticLogged(
        uint32 indexed request, uint32 used, bytes32 batchDigest, bytes32 generatorDigest, uint16[] scores
    );
    event SyntheticCancelled(uint32 indexed request);
    event QuotaRefunded(uint32 indexed request, uint32 amount);

    error MissingRole(address account, uint8 role);
    error UnknownRole(uint8 role);
    error CannotRevokeOwnAdmin();
    error ZeroAddress();
    error EmptyBatch();
    error AlreadyRegistered(address client);
    error WrongClientState(address client, ClientState actual);
    error IsPaused();
    error PauseUnchanged();
    error NotNextRound(uint32 given, uint32 expected);
    error WrongRoundState(uint32 round, RoundState actual, RoundState required);
    error RoundUnfinished(uint32 round);
    error RegistryChanged(uint32 given, uint32 actual);
    error EmptyDigest();
    error EmptyCohort();
    error CohortTooLarge(uint32 cohortSize, uint32 activeClients);
    error CohortMiscounted(uint32 given, uint32 listed);
    error CohortNotListed(uint32 round);
    error UnknownMember(uint256 index);
    error BadQuorum(uint32 quorum, uint32 cohortSize);
    error QuorumMissed(uint32 count, uint32 quorum);
    error CountAboveCohort(uint256 count, uint32 cohortSize);
    error CountIsNotSubmitted(uint32 count, uint32 submitted);
    error RootAndCountDisagree();
    error UpdateNotAccepted(address client, Refusal reason);
    error NoReason();
    error UnknownVersion(uint32 version);
    error ResultsAlreadyPublished(uint32 version);
    error AlreadyWithdrawn(address client);
    error IndexOutOfRange(uint32 index, uint32 count);
    error WrongProofLength(uint256 given, uint256 required);
    error BadPolicy();
    error UnknownClass(uint8 class, uint256 classes);
    error EmptyRequest();
    error WrongRequestState(uint32 request, RequestState actual);
    error NotTheRequester(address account);
    error RequesterCannotDecide();
    error PolicyForbids(Rejection reason);
    error MoreThanApproved(uint32 used, uint32 approved);
    error BatchAlreadyLogged(bytes32 batchDigest);

    /// @dev Requires that the caller has one of the roles in `role`.
    modifier onlyRole(uint8 role) {
        if (rolesOf[msg.sender] & role == 0) revert MissingRole(msg.sender, role);
        _;
    }

    /// @dev Requires that the caller is an active client.
    modifier onlyClient() {
        ClientState state = clients[msg.sender].state;
        if (state != ClientState.Active) revert WrongClientState(msg.sender, state);
        _;
    }

    /// @dev Requires that the round is in state `required`.
    modifier inState(uint32 round, RoundState required) {
        RoundState actual = rounds[round].state;
        if (actual != required) revert WrongRoundState(round, actual, required);
        _;
    }

    /// @dev Requires that the contract is not paused.
    modifier whenNotPaused() {
        if (paused) revert IsPaused();
        _;
    }

    /// @notice Makes the deployer admin.
    constructor() {
        rolesOf[msg.sender] = ADMIN;
        emit RoleGranted(msg.sender, ADMIN);
    }

    // ---------------------------------------------------------------------------------------------- roles and registry

    /// @notice Grant a role to `account`.
    /// Requirements: the caller is admin; `role` is `ADMIN`, `AGGREGATOR` or `AUDITOR`; `account` is not zero.
    function grantRole(address account, uint8 role) external onlyRole(ADMIN) {
        _requireKnownRole(role);
        if (account == address(0)) revert ZeroAddress();
        rolesOf[account] |= role;
        emit RoleGranted(account, role);
    }

    /// @notice Revoke a role of `account`.
    /// Requirements: the caller is admin; `account` has the role; an admin cannot revoke its own admin role, so that at
    /// least one admin remains.
    function revokeRole(address account, uint8 role) external onlyRole(ADMIN) {
        _requireKnownRole(role);
        if (role == ADMIN && account == msg.sender) revert CannotRevokeOwnAdmin();
        if (rolesOf[account] & role == 0) revert MissingRole(account, role);
        rolesOf[account] &= ~role;
        emit RoleRevoked(account, role);
    }

    /// @notice Pause or unpause the contract. Registry, roles, policy, aborts and cancellations work during a pause.
    /// Requirements: the caller is admin; `value` differs from the present state.
    function setPaused(bool value) external onlyRole(ADMIN) {
        if (paused == value) revert PauseUnchanged();
        paused = value;
        if (value) emit Paused();
        else emit Unpaused();
    }

    /// @notice Register clients as active.
    /// Requirements: the caller is admin; the batch is not empty; no address is zero or already registered. One invalid
    /// address reverts the whole batch.
    function registerClients(address[] calldata batch) external onlyRole(ADMIN) {
        if (batch.length == 0) revert EmptyBatch();
        uint32 index = registeredClients;
        for (uint256 i = 0; i < batch.length; ++i) {
            address client = batch[i];
            if (client == address(0)) revert ZeroAddress();
            if (clients[client].state != ClientState.Unknown) revert AlreadyRegistered(client);
            clients[client] = Client(ClientState.Active, index++, 0, 0);
            emit ClientRegistered(client);
        }
        registeredClients = index;
        activeClients += uint32(batch.length);
        registryVersion += 1;
    }

    /// @notice Suspend a client: it cannot contribute to rounds until it is readmitted.
    /// Requirements: the caller is admin; the client is active.
    function suspendClient(address client) external onlyRole(ADMIN) {
        ClientState state = clients[client].state;
        if (state != ClientState.Active) revert WrongClientState(client, state);
        clients[client].state = ClientState.Suspended;
        activeClients -= 1;
        registryVersion += 1;
        emit ClientSuspended(client);
    }

    /// @notice Revoke a client: it cannot contribute to rounds any more unless it is readmitted.
    /// Requirements: the caller is admin; the client is active or suspended.
    function revokeClient(address client) external onlyRole(ADMIN) {
        ClientState state = clients[client].state;
        if (state != ClientState.Active && state != ClientState.Suspended) revert WrongClientState(client, state);
        clients[client].state = ClientState.Revoked;
        if (state == ClientState.Active) activeClients -= 1;
        registryVersion += 1;
        emit ClientRevoked(client);
    }

    /// @notice Readmit a suspended or revoked client.
    /// Requirements: the caller is admin; the client is suspended or revoked.
    function readmitClient(address client) external onlyRole(ADMIN) {
        ClientState state = clients[client].state;
        if (state != ClientState.Suspended && state != ClientState.Revoked) revert WrongClientState(client, state);
        clients[client].state = ClientState.Active;
        activeClients += 1;
        registryVersion += 1;
        emit ClientReadmitted(client);
    }

    /// @notice The registry states of many clients, in the given order.
    function clientStates(address[] calldata batch) external view returns (ClientState[] memory states) {
        states = new ClientState[](batch.length);
        for (uint256 i = 0; i < batch.length; ++i) {
            states[i] = clients[batch[i]].state;
        }
    }

    // ---------------------------------------------------------------------------------------------------------- rounds

    /// @notice Open the next round.
    /// Requirements: the caller is aggregator; not paused; `round` is the latest round plus one, and the latest round
    /// is finalised or aborted; the registry has not changed since the caller read it; the hashes are not zero; the
    /// cohort is not empty and not larger than the number of active clients; the quorum is within 0 .. `cohortSize`; a
    /// stored cohort has `cohortSize` members, all registered.
    /// @param round Number of the round, from 1.
    /// @param registry `registryVersion` at the time when the cohort was chosen.
    /// @param configHash SHA-256 of the resolved configuration of the run.
    /// @param cohortDigest SHA-256 over the invited clients' addresses, 20 bytes each, in the order of the cohort.
    /// @param cohortSize Number of invited clients.
    /// @param quorum Minimum number of accepted updates needed to commit the round.
    /// @param members The cohort as a bitmap over registry indices; empty if clients do not submit on chain.
    function openRound(
        uint32 round,
        uint32 registry,
        bytes32 configHash,
        bytes32 cohortDigest,
        uint32 cohortSize,
        uint32 quorum,
        uint256[] calldata members
    ) external onlyRole(AGGREGATOR) whenNotPaused {
        _requireNextRound(round);
        if (registry != registryVersion) revert RegistryChanged(registry, registryVersion);
        if (configHash == 0 || cohortDigest == 0) revert EmptyDigest();
        if (cohortSize == 0) revert EmptyCohort();
        if (cohortSize > activeClients) revert CohortTooLarge(cohortSize, activeClients);
        if (quorum > cohortSize) revert BadQuorum(quorum, cohortSize);
        latestRound = round;
        Round storage entry = rounds[round];
        entry.state = RoundState.Open;
        entry.cohortSize = cohortSize;
        entry.quorum = quorum;
        if (members.length != 0) {
            entry.listed = true;
            _storeCohort(round, cohortSize, members);
        }
        emit RoundOpened(round, configHash, cohortDigest, cohortSize, quorum);
    }

    /// @notice Submit an update as a client.
    /// Requirements: not paused; the round is open and its cohort is stored; the caller is active, in the cohort, and
    /// has no accepted update in this round yet; the digest is not zero.
    /// @param updateDigest Digest of the update.
    /// @param samples Number of training samples used.
    /// @param metric Training loss in millionths.
    function submitUpdate(uint32 round, bytes32 updateDigest, uint32 samples, int64 metric)
        external
        whenNotPaused
        inState(round, RoundState.Open)
    {
        if (!rounds[round].listed) revert CohortNotListed(round);
        if (updateDigest == 0) revert EmptyDigest();
        Refusal reason = _checkUpdate(round, msg.sender);
        if (reason != Refusal.None) revert UpdateNotAccepted(msg.sender, reason);
        rounds[round].submitted += 1;
        clients[msg.sender].lastRound = round;
        emit UpdateAccepted(round, msg.sender, updateDigest, samples, metric);
    }

    /// @notice Relay updates that their clients signed. Every update is accepted or rejected on its own.
    /// Requirements: the caller is aggregator; not paused; the round is open and its cohort is stored; the batch is not
    /// empty; no digest is zero.
    /// @dev A signature covers the round, the chain and this contract, and is accepted once per round, so it cannot be
    /// replayed.
    function submitSignedUpdates(uint32 round, SignedUpdate[] calldata batch)
        external
        onlyRole(AGGREGATOR)
        whenNotPaused
        inState(round, RoundState.Open)
    {
        if (!rounds[round].listed) revert CohortNotListed(round);
        if (batch.length == 0) revert EmptyBatch();
        bytes32 domain = domainSeparator();
        uint32 accepted = 0;
        for (uint256 i = 0; i < batch.length; ++i) {
            SignedUpdate calldata update = batch[i];
            if (update.updateDigest == 0) revert EmptyDigest();
            Refusal reason = _isValidSignature(domain, round, update)
                ? _checkUpdate(round, update.client)
                : Refusal.BadSignature;
            if (reason != Refusal.None) {
                emit UpdateRefused(round, update.client, update.updateDigest, reason);
                continue;
            }
            ++accepted;
            clients[update.client].lastRound = round;
            emit UpdateAccepted(round, update.client, update.updateDigest, update.samples, update.metric);
        }
        rounds[round].submitted += accepted;
    }

    /// @notice Publish the digests of accepted updates as bare calldata, in the order of the round's leaves.
    /// Requirements: the caller is aggregator; not paused; the round is open and its cohort is not stored; the batch is
    /// not empty; all batches of the round together do not exceed the size of the cohort.
    function publishDigests(uint32 round, bytes32[] calldata digests)
        external
        onlyRole(AGGREGATOR)
        whenNotPaused
        inState(round, RoundState.Open)
    {
        Round storage entry = rounds[round];
        if (entry.listed) revert CountIsNotSubmitted(uint32(digests.length), entry.submitted);
        if (digests.length == 0) revert EmptyBatch();
        uint256 total = entry.submitted + digests.length;
        if (total > entry.cohortSize) revert CountAboveCohort(total, entry.cohortSize);
        entry.submitted = uint32(total);
        emit DigestsPublished(round, uint32(digests.length), sha256(abi.encodePacked(digests)));
    }

    /// @notice Record rejected updates. An update that was accepted on chain is withdrawn if the received update has
    /// another digest or is not finite.
    /// Requirements: the caller is aggregator; not paused; the round is open; the batch is not empty; every entry has a
    /// reason; no update is withdrawn twice.
    function refuseUpdates(uint32 round, RefusedUpdate[] calldata batch)
        external
        onlyRole(AGGREGATOR)
        whenNotPaused
        inState(round, RoundState.Open)
    {
        if (batch.length == 0) revert EmptyBatch();
        for (uint256 i = 0; i < batch.length; ++i) {
            RefusedUpdate calldata update = batch[i];
            if (update.reason == Refusal.None) revert NoReason();
            if (update.reason >= Refusal.DigestMismatch) _withdrawUpdate(round, update.client);
            emit UpdateRefused(round, update.client, update.updateDigest, update.reason);
        }
    }

    /// @notice Commit to the accepted updates of an open round.
    /// Requirements: the caller is aggregator; not paused; the round is open; `count` reaches the quorum and is at most
    /// the size of the cohort; `count` equals the number of updates accepted on chain if the cohort is stored or there
    /// are such updates; `root` is zero exactly if `count` is zero (no update was accepted).
    /// @param root Merkle root over the leaves, padded to a power of two with zero words.
    /// @param count Number of leaves, without padding.
    /// @param samples Total number of training samples of all contributors.
    /// @param metric Mean training loss, weighted by samples, in millionths.
    function commitRound(uint32 round, bytes32 root, uint32 count, uint64 samples, int64 metric)
        external
        onlyRole(AGGREGATOR)
        whenNotPaused
        inState(round, RoundState.Open)
    {
        Round storage entry = rounds[round];
        if (count > entry.cohortSize) revert CountAboveCohort(count, entry.cohortSize);
        if (count < entry.quorum) revert QuorumMissed(count, entry.quorum);
        if ((entry.listed || entry.submitted != 0) && count != entry.submitted) {
            revert CountIsNotSubmitted(count, entry.submitted);
        }
        if ((root == 0) != (count == 0)) revert RootAndCountDisagree();
        entry.state = RoundState.Committed;
        entry.count = count;
        entry.root = root;
        emit RoundCommitted(round, root, count, samples, metric);
    }

    /// @notice Finalise a committed round with the digest of the resulting global model, which gets the next version
    /// number.
    /// Requirements: the caller is auditor; not paused; the round is committed; the digest is not zero.
    function finaliseRound(uint32 round, bytes32 modelDigest)
        external
        onlyRole(AUDITOR)
        whenNotPaused
        inState(round, RoundState.Committed)
    {
        if (modelDigest == 0) revert EmptyDigest();
        Round storage entry = rounds[round];
        uint32 version = latestVersion + 1;
        latestVersion = version;
        entry.state = RoundState.Finalised;
        entry.version = version;
        entry.modelDigest = modelDigest;
        emit RoundFinalised(round, version, modelDigest);
    }

    /// @notice Abort a round; it yields no model.
    /// Requirements: the caller is auditor or admin; the round is open or committed.
    function abortRound(uint32 round) external onlyRole(AUDITOR | ADMIN) {
        RoundState actual = rounds[round].state;
        if (actual != RoundState.Open && actual != RoundState.Committed) {
            revert WrongRoundState(round, actual, RoundState.Open);
        }
        rounds[round].state = RoundState.Aborted;
        emit RoundAborted(round);
    }

    /// @notice Publish the digest of the results of a global model, so that they cannot be changed afterwards.
    /// Requirements: the caller is auditor; not paused; the version exists and has no results yet; the digest is not
    /// zero.
    function publishResults(uint32 version, bytes32 resultsDigest) external onlyRole(AUDITOR) whenNotPaused {
        if (resultsDigest == 0) revert EmptyDigest();
        if (version == 0 || version > latestVersion) revert UnknownVersion(version);
        if (resultsOf[version] != 0) revert ResultsAlreadyPublished(version);
        resultsOf[version] = resultsDigest;
        emit ResultsPublished(version, resultsDigest);
    }

    /// @notice Check that `client` contributed this update to `round`, as the leaf at position `index`.
    /// Requirements: the round is committed or finalised; `index` is below the count; the proof has ceil(log2(count))
    /// words.
    /// @dev The leaf is hashed here with its own prefix, so that an inner node cannot be accepted as a leaf.
    /// @param index Position of the leaf in the tree, from 0.
    /// @param updateDigest Digest of the client's update.
    /// @param samples Number of training samples that the client used.
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
        if (entry.state != RoundState.Committed && entry.state != RoundState.Finalised) {
            revert WrongRoundState(round, entry.state, RoundState.Committed);
        }
        uint32 count = entry.count;
        if (index >= count) revert IndexOutOfRange(index, count);
        uint256 depth = _proofLength(count);
        if (proof.length != depth) revert WrongProofLength(proof.length, depth);
        bytes32 leaf = sha256(abi.encodePacked(uint8(0), round, client, updateDigest, samples, metric));
        return _processProof(leaf, index, proof) == entry.root;
    }

    /// @notice The EIP-712 domain separator of this contract.
    function domainSeparator() public view returns (bytes32) {
        return keccak256(abi.encode(EIP712_DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    // -------------------------------------------------------------------------------------------------- synthetic data

    /// @notice Set the rules for synthetic samples.
    /// Requirements: the caller is admin; the threshold is at most 10 000 basis points.
    function setPolicy(Policy calldata rules) external onlyRole(ADMIN) {
        if (rules.rareThreshold > BASIS_POINTS) revert BadPolicy();
        policy = rules;
        emit PolicyChanged(rules);
    }

    /// @notice Request synthetic samples of one class. Without manual decisions the contract decides immediately; with
    /// them a request that satisfies the rules stays pending until an auditor or admin decides.
    /// Requirements: not paused; the caller is an active client; `amount` is not zero; `class` is an index of
    /// `classCounts`.
    /// @param classCounts Number of the client's own training samples of every class.
    /// @return request Number of the request, from 1.
    function requestSynthetic(uint8 class, uint32 amount, uint32[] calldata classCounts)
        external
        whenNotPaused
        onlyClient
        returns (uint32 request)
    {
        if (amount == 0) revert EmptyRequest();
        if (class >= classCounts.length) revert UnknownClass(class, classCounts.length);
        request = ++latestRequest;
        SyntheticRequest storage entry = requests[request];
        (entry.client, entry.class, entry.amount) = (msg.sender, class, amount);
        emit SyntheticRequested(request, msg.sender, class, amount, classCounts);
        Rejection reason = _isRare(class, classCounts) ? Rejection.None : Rejection.NotRare;
        if (amount > policy.maxBatch) reason = Rejection.BatchTooLarge;
        if (reason == Rejection.None) reason = _checkQuota(msg.sender, class, amount);
        if (reason != Rejection.None) {
            _reject(request, reason);
        } else if (policy.manual) {
            entry.state = RequestState.Pending;
        } else {
            _approve(request);
        }
    }

    /// @notice Decide on a pending request.
    /// Requirements: not paused; the caller is auditor or admin and not the requester; the request is pending; for an
    /// approval, quotas and cooldown still permit it and the client is still active.
    function decideSynthetic(uint32 request, bool approve) external onlyRole(AUDITOR | ADMIN) whenNotPaused {
        SyntheticRequest storage entry = requests[request];
        if (entry.state != RequestState.Pending) revert WrongRequestState(request, entry.state);
        if (entry.client == msg.sender) revert RequesterCannotDecide();
        if (!approve) {
            _reject(request, Rejection.Discretion);
            return;
        }
        ClientState state = clients[entry.client].state;
        if (state != ClientState.Active) revert WrongClientState(entry.client, state);
        Rejection reason = _checkQuota(entry.client, entry.class, entry.amount);
        if (reason != Rejection.None) revert PolicyForbids(reason);
        _approve(request);
    }

    /// @notice Log the batch that was generated for an approved request; the unused part of the quota is refunded.
    /// Requirements: not paused; the caller is the requester and an active client; the request is approved; `used` is
    /// at most the approved amount (0 if the batch failed its quality gates); the digests are not zero; the batch was
    /// not logged before.
    /// @param scores Quality scores in basis points, in the order of the configuration.
    function logSynthetic(
        uint32 request,
        uint32 used,
        bytes32 batchDigest,
        bytes32 generatorDigest,
        uint16[] calldata scores
    ) external whenNotPaused onlyClient {
        SyntheticRequest storage entry = requests[request];
        if (entry.client != msg.sender) revert NotTheRequester(msg.sender);
        if (entry.state != RequestState.Approved) revert WrongRequestState(request, entry.state);
        if (used > entry.amount) revert MoreThanApproved(used, entry.amount);
        if (batchDigest == 0 || generatorDigest == 0) revert EmptyDigest();
        if (loggedBatches[batchDigest]) revert BatchAlreadyLogged(batchDigest);
        loggedBatches[batchDigest] = true;
        entry.state = RequestState.Logged;
        emit SyntheticLogged(request, used, batchDigest, generatorDigest, scores);
        _refund(request, entry.amount - used);
    }

    /// @notice Cancel a pending or approved request; the quota of an approved request is refunded.
    /// Requirements: the caller is the requester or an admin; the request is pending or approved.
    function cancelSynthetic(uint32 request) external {
        SyntheticRequest storage entry = requests[request];
        RequestState state = entry.state;
        if (state != RequestState.Pending && state != RequestState.Approved) revert WrongRequestState(request, state);
        if (entry.client != msg.sender && rolesOf[msg.sender] & ADMIN == 0) revert NotTheRequester(msg.sender);
        entry.state = RequestState.Cancelled;
        emit SyntheticCancelled(request);
        if (state == RequestState.Approved) _refund(request, entry.amount);
    }

    // ------------------------------------------------------------------------------------------------- helpers: rounds

    function _requireKnownRole(uint8 role) private pure {
        if (role != ADMIN && role != AGGREGATOR && role != AUDITOR) revert UnknownRole(role);
    }

    /// @dev Requires that `round` is the next round and that the latest round is finished.
    function _requireNextRound(uint32 round) private view {
        uint32 latest = latestRound;
        if (round != latest + 1) revert NotNextRound(round, latest + 1);
        RoundState state = rounds[latest].state;
        if (state == RoundState.Open || state == RoundState.Committed) revert RoundUnfinished(latest);
    }

    /// @dev Stores the members of the cohort and checks that their number is `cohortSize`.
    function _storeCohort(uint32 round, uint32 cohortSize, uint256[] calldata members) private {
        uint256 listed = 0;
        uint256 registered = registeredClients;
        for (uint256 word = 0; word < members.length; ++word) {
            uint256 bits = members[word];
            uint256 known = registered > 256 * word ? registered - 256 * word : 0;
            if (known < 256 && bits >> known != 0) revert UnknownMember(256 * word + known);
            cohortWords[round][word] = bits;
            for (; bits != 0; bits &= bits - 1) {
                ++listed;
            }
        }
        if (listed != cohortSize) revert CohortMiscounted(cohortSize, uint32(listed));
    }

    /// @dev Whether `client` may submit an update to `round`, whose cohort is stored; if not, the reason.
    function _checkUpdate(uint32 round, address client) private view returns (Refusal) {
        Client storage entry = clients[client];
        ClientState state = entry.state;
        if (state == ClientState.Unknown) return Refusal.NotRegistered;
        if (state == ClientState.Suspended) return Refusal.Suspended;
        if (state == ClientState.Revoked) return Refusal.Revoked;
        uint256 index = entry.index;
        if (cohortWords[round][index >> 8] >> (index & 255) & 1 == 0) return Refusal.NotInCohort;
        if (entry.lastRound == round) return Refusal.Duplicate;
        return Refusal.None;
    }

    /// @dev Whether `update.client` signed the update (EIP-712 data, compact EIP-2098 signature).
    function _isValidSignature(bytes32 domain, uint32 round, SignedUpdate calldata update) private pure returns (bool) {
        uint256 s = uint256(update.vs) & (type(uint256).max >> 1);
        if (s > MAX_SIGNATURE_S) return false;
        bytes32 content = keccak256(
            abi.encode(CLIENT_UPDATE_TYPEHASH, round, update.client, update.updateDigest, update.samples, update.metric)
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, content));
        address signer = ecrecover(digest, uint8(uint256(update.vs) >> 255) + 27, update.r, bytes32(s));
        return signer != address(0) && signer == update.client;
    }

    /// @dev Withdraws the accepted update of `client` in `round`, if there is one.
    function _withdrawUpdate(uint32 round, address client) private {
        Client storage entry = clients[client];
        if (entry.lastRound != round) return;
        if (entry.lastWithdrawn == round) revert AlreadyWithdrawn(client);
        entry.lastWithdrawn = round;
        rounds[round].submitted -= 1;
    }

    /// @dev ceil(log2(count)) for count >= 1, the length of every proof.
    function _proofLength(uint32 count) private pure returns (uint256 depth) {
        for (uint256 width = 1; width < count; width <<= 1) {
            ++depth;
        }
    }

    /// @dev Computes the root from the hash of a leaf; at each level the lowest bit of the index gives the sibling's
    /// side.
    function _processProof(bytes32 node, uint256 index, bytes32[] calldata proof) private pure returns (bytes32) {
        for (uint256 level = 0; level < proof.length; ++level) {
            bytes32 sibling = proof[level];
            node = index & 1 == 0
                ? sha256(abi.encodePacked(uint8(1), node, sibling))
                : sha256(abi.encodePacked(uint8(1), sibling, node));
            index >>= 1;
        }
        return node;
    }

    // ----------------------------------------------------------------------------------------- helpers: synthetic data

    /// @dev Whether the share of `class` in `classCounts` is below the threshold of the policy.
    function _isRare(uint8 class, uint32[] calldata classCounts) private view returns (bool) {
        uint256 total = 0;
        for (uint256 i = 0; i < classCounts.length; ++i) {
            total += classCounts[i];
        }
        return total != 0 && uint256(classCounts[class]) * BASIS_POINTS < total * policy.rareThreshold;
    }

    /// @dev Whether quotas and cooldown permit `amount` more samples; if not, the reason.
    function _checkQuota(address client, uint8 class, uint32 amount) private view returns (Rejection) {
        Policy memory rules = policy;
        Usage memory used = usage[client][class];
        uint256 inRound = used.round == latestRound ? used.inRound : 0;
        if (inRound + amount > rules.roundQuota) return Rejection.RoundQuota;
        if (uint256(used.total) + amount > rules.totalQuota) return Rejection.TotalQuota;
        if (used.approved && latestRound < uint256(used.approvedRound) + rules.cooldown) return Rejection.Cooldown;
        return Rejection.None;
    }

    function _approve(uint32 request) private {
        SyntheticRequest storage entry = requests[request];
        Usage storage used = usage[entry.client][entry.class];
        uint32 round = latestRound;
        if (used.round != round) (used.round, used.inRound) = (round, 0);
        used.inRound += entry.amount;
        used.total += entry.amount;
        (used.approvedRound, used.approved) = (round, true);
        (entry.state, entry.round) = (RequestState.Approved, round);
        emit SyntheticApproved(request, round);
    }

    function _reject(uint32 request, Rejection reason) private {
        requests[request].state = RequestState.Rejected;
        emit SyntheticRejected(request, reason);
    }

    function _refund(uint32 request, uint32 amount) private {
        if (amount == 0) return;
        SyntheticRequest storage entry = requests[request];
        Usage storage used = usage[entry.client][entry.class];
        used.total -= amount;
        if (used.round == entry.round) used.inRound -= amount;
        emit QuotaRefunded(request, amount);
    }
}
